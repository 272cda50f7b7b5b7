import json

import pytest

from lavis_sam.datasets.catalogue import BENCHMARKS
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.run_folder import read_run, write_results
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import score
from lavis_sam.reports.tables import MEASURED, PUBLISHED, result_tables

STORY = ("AESOP", "VIST", "DM800K")
OTHER_TRUTHS = ("a dog runs on the grass", "two people sit at a table", "another bird sings in spring")


def test_measured_beside_published(write):
    for kept, name in enumerate(STORY, start=3):
        folder = write("mine", name, kept=kept)
    run = read_run(folder)
    (table,) = result_tables([run])
    assert (table.name, table.protocol, table.columns) == ("2b", "sam", (*STORY, "Average"))
    assert [row.source for row in table.rows] == [PUBLISHED] * 10 + [MEASURED]
    assert table.rows[9].name == "SAM"
    assert table.rows[9].values["VIST", "cider"] == 39.32
    mine = table.rows[-1]
    corpora = {results.dataset: results.corpus for results in run.results}
    assert mine.name == "mine"
    for metric in ("rouge", "cider", "bleu4"):
        assert [mine.values[name, metric] for name in STORY] == [corpora[name][metric] for name in STORY]
        mean = sum(corpora[name][metric] for name in STORY) / 3
        assert mine.values["Average", metric] == pytest.approx(mean)


@pytest.mark.parametrize(("names", "count"), [(["mine"], 1), (["mine", "other"], 1), ([], 0)])
def test_tables_say_once_why_the_cider_of_one_sample_is_0(write, tmp_path, names, count):
    write("run", "aesop")
    for name in names:
        predictions = [Prediction(1, "a dog", "a dog", ("a dog",))]
        write_results(tmp_path / "run" / name, predictions, score(predictions), dataset=name)
    text = "\n".join(table.as_markdown() for table in result_tables([read_run(tmp_path / "run")]))
    assert text.count("document frequency") == count
    assert all(name in text.partition("CIDEr is 0")[0].rpartition("\n")[2] for name in names)


def test_no_average_without_every_data_set(write):
    write("mine", "AESOP")
    (table,) = result_tables([read_run(write("mine", "vist"))])
    mine = table.rows[-1]
    assert ("VIST", "rouge") in mine.values
    assert not any(column in ("DM800K", "Average") for column, _ in mine.values)
    line = next(line for line in table.as_markdown().splitlines() if "| measured | mine |" in line)
    assert line.count("–") == 6


def test_markdown_says_what_is_what(write):
    (table,) = result_tables([read_run(write("my|run", "aesop"))])
    text = table.as_markdown()
    assert text.startswith("## Table 2b: storytelling (protocol sam, ×100)\n\n| Source | Model | AESOP ROUGE-L |")
    assert "| published | SAM | 23.45 | 25.92 | 4.13 |" in text
    assert "| measured | my\\|run |" in text
    assert "- AESOP: 3 samples, data " in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_as_plain_data(write):
    (table,) = result_tables([read_run(write("mine", "aesop"))])
    data = json.loads(json.dumps(table.as_dict()))
    assert data["table"] == "2b"
    assert data["rows"][-1]["source"] == "measured"
    assert data["rows"][-1]["values"]["Average"] == {"rouge": None, "cider": None, "bleu4": None}
    assert data["rows"][0]["values"]["AESOP"] == {"rouge": 15.42, "cider": 2.29, "bleu4": 0.53}


def test_the_ablation_has_a_row_of_averages(write):
    for benchmark in BENCHMARKS[:2]:
        for entry in benchmark.sets:
            folder = write("row2", entry.name)
    (table,) = result_tables([read_run(folder)], ["3"])
    assert table.columns == ("group captioning", "storytelling")
    assert [row.name for row in table.rows][-2:] == ["7 +DATA +BSG +AA (SAM)", "row2"]
    assert len(table.rows[-1].values) == 6
    assert [table.name for table in result_tables([read_run(folder)])] == ["2a", "2b"]


def test_change_captioning_averages_over_four(write):
    for entry in BENCHMARKS[2].sets:
        folder = write("mine", entry.name)
    (table,) = result_tables([read_run(folder)])
    assert table.name == "4"
    assert len(table.columns) == 5
    assert set(table.rows[0].values) == {("Average", metric) for metric in ("rouge", "cider", "bleu4")}
    assert len(table.rows[-1].values) == 15


def test_without_runs_the_published_numbers_stand_alone():
    tables = result_tables([])
    assert [table.name for table in tables] == ["2a", "2b", "3", "4"]
    assert {row.source for table in tables for row in table.rows} == {PUBLISHED}
    assert tables[-1].columns == ("Average",)


def test_a_data_set_that_the_paper_does_not_have(write):
    (table,) = result_tables([read_run(write("mine", "mmlink"))])
    assert (table.name, table.columns) == ("other", ("mmlink",))
    assert [row.source for row in table.rows] == [MEASURED]
    assert table.as_markdown().startswith("## data sets that the paper does not have")


def test_two_runs_on_the_same_data(write):
    one, two = read_run(write("one", "aesop", kept=3)), read_run(write("two", "AESOP", kept=5))
    (table,) = result_tables([one, two])
    assert [row.name for row in table.rows[-2:]] == ["one", "two"]
    assert sum("AESOP: 3 samples" in note for note in table.notes) == 1


def test_folders_of_one_name_are_told_apart(write):
    runs = [read_run(write("a/run", "aesop")), read_run(write("b/run", "aesop"))]
    (table,) = result_tables(runs)
    assert [row.name for row in table.rows[-2:]] == [str(run.folder) for run in runs]


def test_mixed_protocols_are_refused_naming_both(write):
    one, two = read_run(write("one", "aesop")), read_run(write("two", "vist", protocol="coco"))
    with pytest.raises(SamDataError, match=r"one/aesop was scored under protocol sam and .*two/vist under coco"):
        result_tables([one, two])


def test_published_numbers_do_not_stand_beside_another_protocol(write):
    (table,) = result_tables([read_run(write("mine", "aesop", protocol="coco"))])
    assert table.protocol == "coco"
    assert [row.source for row in table.rows] == [MEASURED]
    assert table.notes[0] == "The paper's numbers are not shown: they are of protocol sam."


def test_runs_on_different_data_are_refused_naming_both(write):
    one, two = read_run(write("one", "aesop")), read_run(write("two", "aesop", truths=OTHER_TRUTHS))
    with pytest.raises(SamDataError, match=r"AESOP: .*one/aesop \(3 samples.*two/aesop \(3 samples"):
        result_tables([one, two])


def test_an_unknown_table_is_refused():
    with pytest.raises(SamConfigurationError, match="table: found '5', wanted one of 2a, 2b, 3, 4"):
        result_tables([], ["5"])


def test_runs_on_the_same_data_stand_in_one_column_whatever_it_was_called(write):
    first, second, third = (read_run(write(*names)) for names in (("a", "mmlink"), ("b", "own"), ("c", "aesop")))
    (table,) = result_tables([first, second])
    assert table.columns == ("mmlink",)
    assert [row.name for row in table.rows] == ["a", "b"]
    assert all(("mmlink", "rouge") in row.values for row in table.rows)
    assert table.remarks == ("own is called mmlink here: the same samples and references.",)
    (table,) = result_tables([first, third])  # the paper's name is taken
    assert table.name == "2b"
    assert [row.name for row in table.rows if ("AESOP", "rouge") in row.values and row.source == MEASURED] == ["a", "c"]


def test_other_data_and_two_sets_of_one_run_keep_their_columns(write):
    write("a", "mmlink")
    first, second = read_run(write("a", "own")), read_run(write("b", "mine", truths=OTHER_TRUTHS))
    (table,) = result_tables([first, second])
    assert table.columns == ("mine", "mmlink", "own")
    assert not table.remarks


def test_rows_are_called_as_a_person_said(write, tmp_path):
    folders = [write("one/result/mine", "aesop"), write("two/result/mine", "aesop")]
    (table,) = result_tables([read_run(folders[0], "base"), read_run(folders[1])])
    assert [row.name for row in table.rows if row.source == MEASURED] == ["base", "mine"]
    (table,) = result_tables([read_run(folder) for folder in folders])
    assert [row.name for row in table.rows if row.source == MEASURED] == [str(folder) for folder in folders]
    with pytest.raises(SamConfigurationError, match="base: found this name twice"):
        result_tables([read_run(folder, "base") for folder in folders])


def test_a_table_says_which_rows_are_of_an_untrained_model(write):
    trained, untrained = write("trained", "aesop"), write("untrained", "aesop")
    path = untrained / "aesop" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(manifest | {"made_by": manifest["made_by"] | {"is_trained": False}}), "utf-8")
    (table,) = result_tables([read_run(trained), read_run(untrained)])
    (remark,) = table.remarks
    assert remark.startswith("untrained: SAM's layers were untrained")
    assert remark in table.as_markdown()
