"""What is the same for every release: splits, unified files, unknown names."""

import subprocess
import sys

import pytest

from helpers.dummies import record, write_dataset
from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.errors import SamConfigurationError


def kinds(report):
    return [problem.kind for problem in report.problems]


@pytest.mark.parametrize(
    ("name", "split", "found"), [("clevr_change", "train", []), ("birds_to_words", "val", ["wrong columns"])]
)
def test_problems_of_other_splits_are_not_told(tmp_path, name, split, found):
    """Where one file holds all splits, only a row that says none is everybody's problem."""
    miniature = MINIATURES[name](tmp_path)
    assert kinds(read_dataset(name, miniature.annotations, miniature.images, split=split)) == found


def test_a_release_in_the_unified_format(tmp_path):
    """The authors' evaluation folders, as a folder or as its file; instructions are their own."""
    path = write_dataset(tmp_path, [record(1), record(2, output="")])
    for annotations in (path, tmp_path):
        report = read_dataset("aesop", annotations, tmp_path)
        assert [(sample.id, sample.instruction) for sample in report.samples] == [(1, "What?")]
        assert kinds(report) == ["empty output"]


def test_a_folder_with_a_file_for_each_split(tmp_path):
    """What `convert` wrote: no split may be read as another one, or as all."""
    for name in ("", ".train", ".test"):
        write_dataset(tmp_path, [record(name)]).rename(tmp_path / f"annotations{name}.json")
    found = {split: read_dataset("vist", tmp_path, tmp_path, split=split) for split in (None, "train", "val", "test")}
    assert [sample.id for sample in found["train"].samples] == [".train"]
    assert [sample.id for sample in found["test"].samples] == [".test"]
    assert not found["val"].usable
    assert "annotations.val.json" in found["val"].summary()
    (tmp_path / "annotations.train.json").unlink()
    (tmp_path / "annotations.test.json").unlink()
    write_dataset(tmp_path, [record("all")])
    assert [sample.id for sample in read_dataset("vist", tmp_path, tmp_path, split="val").samples] == ["all"]


def test_a_split_that_nobody_is_in_lists_the_others(tmp_path):
    miniature = MINIATURES["birds_to_words"](tmp_path)
    table = miniature.annotations
    table.write_bytes(table.read_bytes().replace(b"\tval\t", b"\tsometimes\t"))
    report = read_dataset("birds_to_words", table, miniature.images, split="val")
    assert not report.usable
    assert "found none of the split 'val'" in report.summary()
    assert "{'train': 3, 'not said': 1}" in report.summary()
    assert len(read_dataset("birds_to_words", table, miniature.images).samples) == 2


def test_unknown_format_and_split(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"unknown format 'vits'.*Did you mean 'vist'"):
        read_dataset("vits", tmp_path, tmp_path)
    with pytest.raises(SamConfigurationError, match=r"unknown split 'valid'.*test, train, val"):
        read_dataset("vist", tmp_path, tmp_path, split="valid")
    with pytest.raises(SamConfigurationError, match=r"unknown option 'group_size'.*\(none\)"):
        read_dataset("vist", tmp_path, tmp_path, options={"group_size": 3})


def test_reading_needs_neither_lavis_nor_torch():
    code = (
        "import sys, lavis_sam.datasets.formats, lavis_sam.datasets.exchange\n"
        "heavy = {'torch', 'lavis', 'transformers', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
