"""IEdit without its files."""

from lavis_sam.datasets.formats.reading import read_dataset


def test_a_folder_without_the_files_lists_their_names(tmp_path):
    report = read_dataset("iedit", tmp_path, tmp_path)
    assert not report.usable
    assert "train.json, valid.json, test.json" in report.summary()
