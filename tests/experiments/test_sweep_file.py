"""The file of a sweep: what it may say, and what it is told when it says something else."""

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.experiments.sweep_file import read_sweep

GOOD = """
config: train.yaml
seeds: [0, 3]
options: {run.max_epoch: 2}
rows:
  base: {train: false}
  data: {title: "+DATA", options: {model.trainable: projection}}
evaluate: [more.yaml]
compare: [[base, data]]
"""


@pytest.fixture
def write(tmp_path):
    for name in ("train.yaml", "more.yaml"):
        (tmp_path / name).write_text("run: {}\n", encoding="utf-8")

    def written(text):
        path = tmp_path / "sweep.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_a_file_is_read_with_paths_beside_it(write, tmp_path):
    sweep = read_sweep(write(GOOD))
    assert sweep.config == tmp_path / "train.yaml"
    assert sweep.evaluate == (tmp_path / "more.yaml",)
    assert sweep.seeds == (0, 3)
    assert sweep.compare == (("base", "data"),)
    assert {name: sweep.title(name) for name in sweep.rows} == {"base": "base", "data": "+DATA"}
    assert not sweep.rows["base"].train
    assert sweep.rows["data"].train
    assert dict(sweep.rows["data"].options) == {"model.trainable": "projection"}


def test_one_seed_and_no_comparison_are_the_default(write):
    sweep = read_sweep(write("config: train.yaml\nrows: {sam: }\n"))
    assert (sweep.seeds, sweep.compare, sweep.evaluate) == ((0,), (), ())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds:", "seds:", r"unknown key 'seds'.*Did you mean 'seeds'"),
        ("  base: {train: false}", "  data: {train: false}", "duplicate key data"),
        ("[0, 3]", "[0, 0]", r"seeds: found \[0, 0\], wanted a list of different integers"),
        ("[0, 3]", "[true]", r"seeds: found \[True\]"),
        ("[0, 3]", "[]", r"seeds: found \[\]"),
        ("  base:", "  a/b:", r"rows\.a/b: wanted letters, digits"),
        ('title: "+DATA"', "title: base", r"rows\.data: has the title of rows\.base, 'base'"),
        ("model.trainable", "run.seed", r"rows\.data\.options\.run\.seed: the sweep sets it itself"),
        ("run.max_epoch: 2", "run.job_id: a", r"options\.run\.job_id: the sweep sets it itself"),
        ("more.yaml", "absent.yaml", r"absent\.yaml: there is no such file beside it"),
        ("config: train.yaml", "config: absent.yaml", r"absent\.yaml: there is no such file beside it"),
        ("config: train.yaml", "", "config: found nothing"),
        ("[[base, data]]", "[[base, dta]]", r"unknown row 'dta'.*Did you mean 'data'"),
        ("[more.yaml]", "[more.yaml, ./more.yaml]", r"evaluate: found several files called 'more', wanted one"),
        ("[[base, data]]", "[[base, base]]", "wanted a list of pairs of rows"),
        ("train: false", "train: 0", r"rows\.base\.train: found 0, wanted true or false"),
        ("options: {run.max_epoch: 2}", "options: [a]", r"options: found \['a'\], wanted a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(write, old, new, words):
    assert old in GOOD
    with pytest.raises(SamConfigurationError, match=words):
        read_sweep(write(GOOD.replace(old, new)))


def test_all_problems_come_in_one_message(write):
    with pytest.raises(SamConfigurationError) as raised:
        read_sweep(write(GOOD.replace("more.yaml", "x.yaml").replace("[[base, data]]", "[[base, y]]")))
    assert "x.yaml" in str(raised.value)
    assert "'y'" in str(raised.value)


def test_no_rows_no_file_and_no_yaml_are_refused(write, tmp_path):
    with pytest.raises(SamConfigurationError, match="rows: found none"):
        read_sweep(write("config: train.yaml\n"))
    with pytest.raises(SamConfigurationError, match=r"absent\.yaml: cannot be read"):
        read_sweep(tmp_path / "absent.yaml")
    with pytest.raises(SamConfigurationError, match="is no YAML"):
        read_sweep(write("rows: [\n"))


def test_another_run_may_take_the_place_of_the_files_own(write, tmp_path):
    other = tmp_path / "more.yaml"
    assert read_sweep(write(GOOD), other).config == other
    with pytest.raises(SamConfigurationError, match=r"--config: .*absent\.yaml: there is no such file"):
        read_sweep(write(GOOD), tmp_path / "absent.yaml")
