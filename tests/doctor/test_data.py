"""Data sets that are wanted, absent or half here."""

from helpers.findings import FAILURE, NOTE, OK, WARNING, only
from lavis_sam.doctor.data import check_data


def test_data_that_is_wanted_and_not_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert only(check_data(), "mmlink").verdict is NOTE
    found = only(check_data(["mmlink"]), "mmlink")
    assert found.verdict is FAILURE
    assert "datasets.mmlink.build_info.images.storage" in found.remedy


def test_data_that_is_half_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mmlink").mkdir(parents=True)
    found = only(check_data(), "mmlink")
    assert found.verdict is WARNING
    assert "incomplete: data/mmlink/annotations.json does not exist" in found.found
    (tmp_path / "data" / "mmlink" / "annotations.json").write_text("[]")
    assert only(check_data(["mmlink"]), "mmlink").verdict is OK
