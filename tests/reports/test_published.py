import pytest

from lavis_sam.datasets.catalogue import BENCHMARKS, evaluation_set
from lavis_sam.reports.published import PublishedResult, published_tables

METRICS = ("rouge", "cider", "bleu4")


def test_every_number_is_there():
    tables = published_tables()
    assert list(tables) == ["2a", "2b", "3", "4"]
    sizes = {name: (len(table.rows), len(table.columns)) for name, table in tables.items()}
    assert sizes == {"2a": (10, 4), "2b": (10, 4), "3": (7, 2), "4": (9, 1)}
    for table in tables.values():
        assert table.protocol == "sam"
        assert table.metrics == METRICS
        assert len(list(table.results())) == len(table.rows) * len(table.columns) * 3


@pytest.mark.parametrize(
    "result",
    [
        PublishedResult("2a", "SAM", "Conceptual", "rouge", 20.93),
        PublishedResult("2a", "Gemini Pro", "Conceptual", "cider", 20.0),
        PublishedResult("2b", "SAM", "VIST", "cider", 39.32),
        PublishedResult("2b", "Otter", "VIST", "bleu4", 0.0),
        PublishedResult("3", "4 +DATA +LIN", "storytelling", "cider", 13.67),
        PublishedResult("4", "GPT-4V", "Average", "bleu4", 1.2),
    ],
)
def test_some_numbers_of_the_paper(result):
    assert result in list(published_tables()[result.table].results())


@pytest.mark.parametrize("name", ["2a", "2b"])
def test_averages_are_the_means_of_their_columns(name):
    table = published_tables()[name]
    sets = table.columns[:-1]
    for row in table.rows:
        for metric in METRICS:
            mean = sum(table.values[row, column, metric] for column in sets) / len(sets)
            assert table.values[row, "Average", metric] == pytest.approx(mean, abs=0.0051)  # printed with two decimals


def test_the_ablation_begins_and_ends_with_rows_of_table_2():
    ablation = published_tables()["3"]
    for row, model in (("1 base", "InstructBLIP"), ("7 +DATA +BSG +AA (SAM)", "SAM")):
        for column, name in (("group captioning", "2a"), ("storytelling", "2b")):
            for metric in METRICS:
                expected = published_tables()[name].values[model, "Average", metric]
                assert ablation.values[row, column, metric] == expected


def test_columns_are_the_benchmarks_data_sets():
    for benchmark in BENCHMARKS:
        columns = published_tables()[benchmark.table].columns
        assert columns in ((*(entry.title for entry in benchmark.sets), "Average"), ("Average",))


@pytest.mark.parametrize("name", ["spot_the_diff", "Spot-the-Diff", "SpotTheDiff", "spot the diff"])
def test_names_are_found_however_they_are_written(name):
    assert evaluation_set(name).title == "Spot-the-Diff"


def test_an_unknown_data_set_is_none():
    assert evaluation_set("mmlink") is None
