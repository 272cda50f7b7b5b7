"""Reading the unified annotation: every problem of a file is collected, named and counted."""

import json
import os

import pytest

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations, scan_annotations, write_annotations
from lavis_sam.datasets.sample import MultiImageSample, to_record
from lavis_sam.errors import SamDataError


def test_reads_a_list(tmp_path):
    path = write_dataset(tmp_path, [record(7), record("b", img_list=["sub/three.png"], references=["One.", "Two."])])
    first, second = read_annotations(path, tmp_path)
    assert first == MultiImageSample(7, ("one.png", "two.png"), "What?", "An answer.", ("An answer.",), f"{path}[0]")
    assert (second.id, second.images, second.references) == ("b", ("sub/three.png",), ("One.", "Two."))


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"], ids=["LF", "CRLF", "empty lines"])
def test_reads_json_lines(tmp_path, prefix, ending):
    write_dataset(tmp_path, [record("a"), record("b")])
    path = tmp_path / "lines.jsonl"
    path.write_bytes(prefix + ending.join(json.dumps(record(name)) for name in "ab").encode() + ending.encode())
    assert [sample.id for sample in read_annotations(path, tmp_path)] == ["a", "b"]


def test_json_lines_need_no_suffix(tmp_path):
    path = write_dataset(tmp_path, [record("a"), record("b")], lines=True).rename(tmp_path / "annotations.txt")
    assert [sample.id for sample in read_annotations(path, tmp_path)] == ["a", "b"]


def test_further_keys_are_ignored(tmp_path):
    path = write_dataset(tmp_path, [record(split="train", quality=0.5)])
    assert len(read_annotations(path, tmp_path)) == 1


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"img_list": []}, "no images", ["'bad'", "0 images"]),
        ({"img_list": "one.png"}, "wrong type", ["'one.png'", "list of paths"]),
        ({"img_list": [1]}, "wrong type", ["[1]"]),
        ({"img_list": ...}, "wrong type", ["None", "its keys are 'id, instruction, output"]),
        ({"img_list": ["absent.png"]}, "missing image", ["'absent.png'", "No such file"]),
        ({"img_list": ["."]}, "path leaves the root", ["'.'"]),
        ({"img_list": ["folder"]}, "missing image", ["not a file"]),
        ({"img_list": ["../outside.png"]}, "path leaves the root", ["../outside.png"]),
        ({"img_list": ["folder/../../outside.png"]}, "path leaves the root", ["outside.png"]),
        ({"img_list": ["folder/../one.png"]}, "path leaves the root", ["folder/../one.png"]),
        ({"img_list": ["empty.png"]}, "unreadable image", ["empty.png", "UnidentifiedImageError"]),
        ({"img_list": ["/etc/hostname"]}, "path leaves the root", ["/etc/hostname"]),
        ({"img_list": ["link.png"]}, "path leaves the root", ["link.png"]),
        ({"img_list": ["a\0b"]}, "wrong path", ["null"]),
        ({"img_list": ["\ud800.png"]}, "wrong path", ["surrogates"]),
        ({"output": ""}, "empty output", ["''"]),
        ({"output": " \n"}, "empty output", ["wanted a text"]),
        ({"output": None}, "wrong type", ["output", "None"]),
        ({"instruction": 3}, "wrong type", ["instruction", "3"]),
        ({"references": "One."}, "wrong type", ["references"]),
        ({"references": ["One.", " "]}, "empty output", ["references"]),
        ({"instruction": "\ud83d"}, "wrong text", ["lone surrogate"]),
        ({"references": ["One.", "\udc00"]}, "wrong text", ["lone surrogate"]),
    ],
)
def test_names_what_is_wrong(tmp_path, changes, kind, words):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.png").touch()
    path = write_dataset(root, [record("good")])
    os.symlink(tmp_path / "outside.png", root / "link.png")
    (root / "empty.png").touch()
    path.write_text(json.dumps([record("good"), record("bad", **changes)]))
    report = scan_annotations(path, root)
    assert [sample.id for sample in report.samples] == ["good"]
    assert [problem.kind for problem in report.problems] == [kind]
    assert "'bad'" in report.problems[0].place
    assert "[1]" in report.problems[0].place
    for word in words:
        assert word in str(report.problems[0])


def test_a_link_inside_the_root_is_fine(tmp_path):
    path = write_dataset(tmp_path, [record(), record("b", img_list=["here/x.png"])])
    os.symlink(tmp_path / "one.png", tmp_path / "here" / "link.png")
    os.symlink(tmp_path / "here", tmp_path / "there")
    path.write_text(json.dumps([record(img_list=["here/link.png", "there/x.png"])]))
    assert len(read_annotations(path, tmp_path)) == 1


@pytest.mark.parametrize(
    "identity", [None, True, 1.5, "", [], {}], ids=["none", "bool", "float", "empty", "list", "dict"]
)
def test_ids_are_integers_or_texts(tmp_path, identity):
    path = write_dataset(tmp_path, [record("good")])
    path.write_text(json.dumps([record(identity)]))
    assert [problem.kind for problem in scan_annotations(path, tmp_path).problems] == ["wrong id"]


@pytest.mark.parametrize(("first", "second"), [("a", "a"), (1, 1), (1, "1")])
def test_duplicate_ids_name_both_records(tmp_path, first, second):
    path = write_dataset(tmp_path, [record(first), record("other"), record(second)])
    with pytest.raises(SamDataError) as caught:
        read_annotations(path, tmp_path)
    assert "1 x duplicate id" in str(caught.value)
    assert f"{path}[0]" in str(caught.value)
    assert f"{path}[2]" in str(caught.value)


def test_duplicate_ids_of_two_files(tmp_path):
    one = write_dataset(tmp_path, [record("a")])
    two = write_dataset(tmp_path, [record("b"), record("a")], lines=True)
    with pytest.raises(SamDataError, match="duplicate id"):
        read_annotations([one, two], tmp_path)


def test_all_problems_come_in_one_error(tmp_path):
    bad = [record(i, output="") for i in range(20)] + [record("x", img_list=["absent.png"], instruction=None), 5]
    path = write_dataset(tmp_path, [record("good")])
    path.write_text(json.dumps(bad))
    with pytest.raises(SamDataError) as caught:
        read_annotations(path, tmp_path)
    message = str(caught.value)
    for text in ["23 problem(s)", "20 x empty output", "1 x missing image", "2 x wrong type", "and 13 more"]:
        assert text in message, message


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "no samples"),
        (b"[]", "no samples"),
        (b"[{", "not JSON"),
        (b"{not json}\n", "not JSON"),
        (b"[\xff]", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b"3", "wrong type"),
    ],
    ids=["empty", "empty list", "cut off", "no JSON", "no UTF-8", "nested", "number"],
)
def test_files_that_are_no_annotations(tmp_path, content, kind):
    path = tmp_path / "annotations.json"
    path.write_bytes(content)
    with pytest.raises(SamDataError, match=kind):
        read_annotations(path, tmp_path)


def test_missing_file_names_file_and_remedy(tmp_path):
    with pytest.raises(SamDataError, match=r"nowhere.json.*(?s:.)*build_info.annotations"):
        read_annotations(tmp_path / "nowhere.json", tmp_path)


def test_bad_samples_can_be_dropped_and_told(tmp_path, caplog):
    path = write_dataset(tmp_path, [record("good"), record("bad", output=""), record("gone")])
    (tmp_path / "one.png").rename(tmp_path / "1.png")
    records = [record("good", img_list=["two.png"]), record("bad", output="", img_list=["two.png"]), record("gone")]
    path.write_text(json.dumps(records))
    samples = read_annotations(path, tmp_path, strict=False)
    assert [sample.id for sample in samples] == ["good"]
    assert "1 whole sample(s); 2 dropped (1 x empty output, 1 x missing image)." in caplog.text
    assert "'gone'" in caplog.text


@pytest.mark.parametrize("content", ["[{", '[{"id": 1}]', "[]"], ids=["broken", "nothing whole", "nothing"])
def test_a_file_without_a_whole_sample_is_an_error_even_so(tmp_path, content):
    (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(SamDataError, match=r"annotations\.json"):
        read_annotations(tmp_path / "annotations.json", tmp_path, strict=False)


def test_one_broken_file_of_several_is_an_error_even_so(tmp_path):
    path = write_dataset(tmp_path, [record("a")])
    (tmp_path / "broken.json").write_text("[{")
    with pytest.raises(SamDataError, match="not JSON"):
        read_annotations([path, tmp_path / "broken.json"], tmp_path, strict=False)


def test_written_annotations_read_the_same(tmp_path):
    path = write_dataset(tmp_path, [record(1, references=["One.", "Zwö."]), record("b", img_list=["sub dir/ä.png"])])
    before = read_annotations(path, tmp_path)
    write_annotations(path, before)
    after = read_annotations(path, tmp_path)
    assert [to_record(sample) for sample in after] == [to_record(sample) for sample in before]
    assert to_record(after[1]) == record("b", img_list=["sub dir/ä.png"], references=["An answer."])
