"""What the members of a key make: our layout, and what others write with webdataset alone."""

import json
import re

import pytest

from helpers.shards import tar_of
from lavis_sam.datasets.shards import index_shards
from lavis_sam.datasets.shards.samples import is_image, is_record

TEXT = {"instruction": "What?", "output": "That."}


def stored(tmp_path, members, **options):
    members = [(name, json.dumps(data).encode() if isinstance(data, dict) else data) for name, data in members]
    return index_shards([tar_of(tmp_path / "part-3.tar", members)], **options)


@pytest.mark.parametrize(
    ("members", "images"),
    [
        ([("a.jpg", b"1"), ("a.json", TEXT)], ["a.jpg"]),
        ([("a.JPEG", b"1"), ("a.json", TEXT)], ["a.JPEG"]),
        ([("a.0.jpg", b"1"), ("a.1.png", b"2"), ("a.json", TEXT)], ["a.0.jpg", "a.1.png"]),
        ([("a.1.jpg", b"1"), ("a.2.png", b"2"), ("a.json", TEXT)], ["a.1.jpg", "a.2.png"]),
        ([("b/a.jpg", b"1"), ("b/a.json", TEXT), ("b/a.xml", b"?")], ["b/a.jpg"]),
    ],
)
def test_samples_read_what_webdataset_alone_writes(tmp_path, members, images):
    (sample,) = stored(tmp_path, members).report.samples
    assert sample.images == tuple(images)
    assert (sample.instruction, sample.output, sample.references) == ("What?", "That.", ("That.",))


@pytest.mark.parametrize(
    ("members", "output"),
    [
        ([("a.txt", b"A text.\n")], "A text."),
        ([("a.cls", b"7")], "7"),
        ([("a.cls", b"7"), ("a.txt", b"A text.")], "A text."),
        ([("a.json", {"caption": "A caption."}), ("a.txt", b"A text.")], "A caption."),
        ([("a.json", {"output": "An answer.", "caption": "A caption."})], "An answer."),
    ],
)
def test_samples_without_an_instruction_get_the_prompt(tmp_path, members, output):
    (sample,) = stored(tmp_path, [*members, ("a.jpg", b"1")], prompt="Describe it.").report.samples
    assert (sample.id, sample.instruction, sample.output) == ("part-3/a", "Describe it.", output)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([("a.txt", b"A text."), ("a.jpg", b"1")], r"no `instruction`; build_info\.prompt can give one"),
        ([("a.json", {"instruction": "What?"}), ("a.jpg", b"1")], "output: found None"),
        ([("a.json", TEXT)], "found 0 images"),
        ([("a.json", TEXT), ("a.0.jpg", b"1"), ("a.2.jpg", b"1")], r"the numbers \[0, 2\], wanted all from 0 or 1 on"),
        ([("a.json", TEXT), ("a.jpg", b"1"), ("a.0.jpg", b"1")], "image 0 is there twice"),
        ([("a.json", {"instruction": "What?"}), ("a.txt", b"\xff"), ("a.jpg", b"1")], "utf-8"),
    ],
)
def test_samples_say_what_a_foreign_one_lacks(tmp_path, members, complaint):
    report = stored(tmp_path, members).report
    assert not report.samples
    (problem,) = report.problems
    assert re.search(complaint, problem.message)


def test_samples_of_ours_ignore_a_preview(tmp_path):
    record = {"id": 1, "img_list": ["x.png"], **TEXT}
    index = stored(tmp_path, [("a.json", record), ("a.1.png", b"12"), ("a.jpg", b"1")])
    assert [sample.images for sample in index.report.samples] == [("x.png",)]
    assert [image.size for image in index.places[0].images] == [2]


def test_samples_know_records_and_images_by_name():
    assert [name for name in ("a.json", "a.txt", "a.cls", "a.jpg", "a", ".json") if is_record(name)] == [
        "a.json",
        "a.txt",
        "a.cls",
    ]
    assert [name for name in ("a.jpg", "a.1.jpg", "a.12", "a.PNG", "a.json", "a.1234567.jpg") if is_image(name)] == [
        "a.jpg",
        "a.1.jpg",
        "a.12",
        "a.PNG",
    ]


@pytest.mark.parametrize(
    ("null", "wanted"), [("id", ("part-3/a", "What?", "That.")), ("instruction", (7, "Describe it.", "That."))]
)
def test_samples_take_a_null_of_a_foreign_record_for_nothing(tmp_path, null, wanted):
    record = {"id": 7, **TEXT, null: None}
    (sample,) = stored(tmp_path, [("a.json", record), ("a.jpg", b"1")], prompt="Describe it.").report.samples
    assert (sample.id, sample.instruction, sample.output) == wanted
