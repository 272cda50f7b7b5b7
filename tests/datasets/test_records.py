"""Reading files of somebody else: bounded, UTF-8, a place for every record."""

import pytest

from lavis_sam import files
from lavis_sam.datasets import records
from lavis_sam.datasets.records import UnreadableFileError, read_bytes, read_document, read_records


def test_places(tmp_path):
    problems = []
    path = tmp_path / "list.json"
    path.write_text(" \n[1, 2]")
    assert list(read_records(path, problems)) == [(f"{path}[0]", 1), (f"{path}[1]", 2)]
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"\xef\xbb\xbf[1]\r\n\r\n\xff\n{\n3")
    assert list(read_records(path, problems)) == [(f"{path}:1", [1]), (f"{path}:5", 3)]
    assert [(problem.kind, problem.place) for problem in problems] == [
        ("not UTF-8", f"{path}:3"),
        ("not JSON", f"{path}:4"),
    ]


def test_files_have_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 10)
    path = tmp_path / "list.json"
    path.write_text("[1, 2, 3, 4, 5]")
    with pytest.raises(UnreadableFileError, match="found 15 bytes, wanted at most 10"):
        read_bytes(path)
    problems = []
    assert list(read_records(path, problems)) == []
    assert problems[0].kind == "file too large"
    assert problems[0].whole_file


def test_lines_have_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 10)
    path = tmp_path / "lines.jsonl"
    path.write_text('{"a": 1}\n{"a": "very long"}\n{"a": 2}\n')
    problems = []
    assert [value for _, value in read_records(path, problems)] == [{"a": 1}]
    assert [(problem.kind, problem.whole_file) for problem in problems] == [("file too large", True)]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 10_000, b"\0"])
def test_what_is_no_json_names_the_file(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"broken\.json: not (JSON|UTF-8)"):
        read_document(path)


def test_what_is_no_file_names_it(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(UnreadableFileError, match=r"unreadable file.*must name an existing file"):
            read_document(path)
        problems = []
        assert list(read_records(path, problems)) == []
        assert problems[0].kind == "unreadable file"
