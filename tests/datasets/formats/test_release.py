"""The split that the name of a file says."""

import pytest

from lavis_sam.datasets.formats.release import split_of_name


@pytest.mark.parametrize(
    ("name", "split"),
    [("train.json", "train"), ("valid.json", "val"), ("Val", "val"), ("dev", "val"), ("test.x.json", "test")],
)
def test_split_of_a_name(name, split):
    assert split_of_name(name) == split


@pytest.mark.parametrize("name", ["", "all", "articles.jsonl", "trainer.json", "1"])
def test_no_split_of_a_name(name):
    assert split_of_name(name) is None
