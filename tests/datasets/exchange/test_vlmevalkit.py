"""An exported data set of VLMEvalKit."""

import ast
import base64
import csv
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.exchange.vlmevalkit import COLUMNS, write_vlmevalkit
from lavis_sam.datasets.images import to_rgb
from lavis_sam.errors import SamConfigurationError, SamDataError


def exported(root, records, out, name="pairs"):
    (path,) = write_vlmevalkit(read_annotations(write_dataset(root, records), root), root, out, name)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


def test_a_row_holds_a_sample(tmp_path):
    texts = ["What?\tThis\r\nor «that»?", '"quoted"']
    records = [record(place, instruction=text, references=["One.", "Two."]) for place, text in enumerate(texts)]
    rows = exported(tmp_path, records, tmp_path / "out")
    assert tuple(rows[0]) == COLUMNS
    assert [row["question"] for row in rows] == texts
    assert [row["answer"] for row in rows] == ["An answer."] * 2
    for place, row in enumerate(rows):
        sample = json.loads(row["lavis_sam_sample"])
        assert sample == {"sample_id": str(place), "gt_response": "An answer.", "references": ["One.", "Two."]}


def as_saved(text):
    """What VLMEvalKit makes of an image: decoded, saved as PNG."""
    saved = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    (image.convert("RGB") if image.mode in ("RGBA", "P", "LA") else image).save(saved, format="PNG")
    return saved.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("RGB", ".jpg", {"quality": 80}),
        ("RGB", ".png", {}),
        ("RGB", ".jpg", {"exif": turned()}),
        ("RGB", ".png", {"exif": turned()}),
        ("RGBA", ".png", {}),
        ("P", ".gif", {}),
        ("L", ".png", {}),
        ("CMYK", ".jpg", {}),
    ],
)
def test_every_pixel_that_a_person_sees_arrives(tmp_path, mode, suffix, options):
    values = np.random.default_rng(0).integers(0, 255, (9, 14, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(values[..., 0]))
    records = [record(1, img_list=["one.png", f"two{suffix}"])]
    path = write_dataset(tmp_path, records)
    image.convert(mode).save(tmp_path / f"two{suffix}", **options)
    write_vlmevalkit(read_annotations(path, tmp_path), tmp_path, tmp_path / "out", "one")
    with (tmp_path / "out" / "one.tsv").open(newline="") as file:
        (row,) = csv.DictReader(file, dialect="excel-tab")
    encoded = ast.literal_eval(row["image"])
    wanted = np.asarray(to_rgb(tmp_path / f"two{suffix}", "two"))
    assert np.array_equal(np.asarray(to_rgb(as_saved(encoded[1]), "saved")), wanted)
    if not options.get("exif") and mode == "RGB":
        assert base64.b64decode(encoded[1]) == (tmp_path / f"two{suffix}").read_bytes()


def test_the_index_changes_with_what_is_asked(tmp_path):
    """VLMEvalKit keeps images and answers by it."""
    first = exported(tmp_path, [record(1), record(2)], tmp_path / "out")
    same = exported(tmp_path, [record(1), record(2)], tmp_path / "again")
    assert [row["index"] for row in first] == [row["index"] for row in same]
    assert len({row["index"] for row in first}) == 2
    for changes in ({"instruction": "And?"}, {"output": "Else."}, {"img_list": ["one.png", "three.png"]}):
        assert exported(tmp_path, [record(1, **changes)], tmp_path / "other")[0]["index"] != first[0]["index"]


def test_an_image_that_went_is_named_and_no_file_is_left(tmp_path):
    samples = read_annotations(write_dataset(tmp_path, [record(1)]), tmp_path)
    os.remove(tmp_path / "two.png")
    with pytest.raises(SamDataError, match=r"two\.png: unreadable file"):
        write_vlmevalkit(samples, tmp_path, tmp_path / "out", "pairs")
    (tmp_path / "two.png").write_bytes(b"no image")
    with pytest.raises(SamDataError, match=r"two\.png"):
        write_vlmevalkit(samples, tmp_path, tmp_path / "out", "pairs")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["", "a/b", ".."])
def test_a_name_that_is_no_files_is_refused(tmp_path, name):
    with pytest.raises(SamConfigurationError, match="--name"):
        write_vlmevalkit([], tmp_path, tmp_path / "out", name)
