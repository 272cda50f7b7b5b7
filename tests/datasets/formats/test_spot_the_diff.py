"""Spot-the-Diff as several files."""

from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.reading import read_dataset


def test_several_files_are_one_data_set(tmp_path):
    miniature = MINIATURES["spot_the_diff"](tmp_path)
    report = read_dataset("spot_the_diff", list(miniature.storages.values()), miniature.images)
    assert len(report.samples) == len(report.splits) == 4
