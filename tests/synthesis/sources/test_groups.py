"""Groups of images: companions and the split that they belong to."""

import pytest

from helpers.source_folders import draw
from lavis_sam.synthesis.sources import folders, groups
from lavis_sam.synthesis.sources.folders import folder


@pytest.fixture(autouse=True)
def _everything_is_for_training(monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)


def test_companions_are_other_groups(own):
    source = folder(str(own), "furniture")
    first = draw(source, 0)
    assert draw(source, None, 1, unlike=(first,)).id != first.id


def test_held_out_groups_are_never_in_both_splits(own, monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.5)
    names = [f"icon {k}" for k in range(200)]
    share = sum(groups.is_held_out(name) for name in names) / len(names)
    assert 0.4 < share < 0.6
    assert folders.in_split is groups.in_split
    both = {split: [name for name in names if groups.in_split(name, split)] for split in ("train", "held_out", "all")}
    assert sorted(both["train"] + both["held_out"]) == sorted(both["all"]) == sorted(names)
