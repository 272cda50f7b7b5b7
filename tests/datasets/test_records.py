"""Reading files of somebody else: bounded, UTF-8, a place for every record."""

import json

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


RECORD = {"id": 1, "img_list": ["x.png"]}


@pytest.mark.parametrize(
    ("document", "key"),
    [({"annotations": [RECORD]}, "annotations"), ({"info": {}, "licences": [{}], "data": [RECORD] * 2}, "data")],
)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_read_records_calls_an_object_around_the_list_what_it_is(tmp_path, document, key, indent, name):
    path, problems = tmp_path / name, []
    path.write_text(json.dumps(document, indent=indent), encoding="utf-8-sig")
    assert list(read_records(path, problems)) == []
    (problem,) = problems
    assert (problem.kind, problem.place, problem.whole_file) == ("wrong type", str(path), True)
    assert f"found an object with {list(document)!r}, wanted a JSON list of records" in problem.message
    assert f"take the list under '{key}' out" in problem.message


@pytest.mark.parametrize(
    ("name", "document", "message"),
    [
        (
            "a.json",
            RECORD,
            "found an object with ['id', 'img_list'], wanted a JSON list of records, or one record a line",
        ),
        ("a.json", {"one": {"img_list": []}}, "found an object with ['one'], wanted a JSON list"),
        ("a.json", {"stories": [RECORD]}, "take the list under 'stories' out"),
        ("a.jsonl", [RECORD, RECORD], "found a list over several lines, wanted a JSON list of records, or one"),
    ],
)
def test_read_records_calls_one_document_over_many_lines_what_it_is(tmp_path, name, document, message):
    path, problems = tmp_path / name, []
    path.write_text(json.dumps(document, indent=1))
    assert list(read_records(path, problems)) == []
    assert [problem.kind for problem in problems] == ["wrong type"]
    assert message in problems[0].message
    path.write_text(path.read_text()[:-3])
    assert list(read_records(path, problems)) == []
    assert [problem.kind for problem in problems[1:]] == ["not JSON"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
@pytest.mark.parametrize("record", [RECORD, RECORD | {"data": 3}, {"image": "x", "conversations": [{"from": "human"}]}])
@pytest.mark.parametrize("count", [1, 2])
def test_read_records_reads_lines_of_objects_whatever_the_name(tmp_path, name, record, count):
    path, problems = tmp_path / name, []
    path.write_text("\n".join([json.dumps(record)] * count))
    assert [value for _, value in read_records(path, problems)] == [record] * count
    assert not problems


def test_read_records_keeps_the_lines_beside_a_damaged_first_one(tmp_path):
    path, problems = tmp_path / "a.json", []
    path.write_text('{"id": 0, "img_li\n' + json.dumps(RECORD) + "\n" + "[" * 100_000)
    assert [value for _, value in read_records(path, problems)] == [RECORD]
    assert [(problem.kind, problem.place) for problem in problems] == [
        ("not JSON", f"{path}:1"),
        ("not JSON", f"{path}:3"),
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
