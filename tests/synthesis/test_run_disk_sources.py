"""Whole runs over miniatures of the published data sets: from their files to images, questions and true answers."""

import csv
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from helpers.synthesis import config
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.dataset_writer import read_lines
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner
from lavis_sam.synthesis.sources import groups

TEMPLATES = {"describe": {"backend": "templates"}}


@pytest.fixture(autouse=True)
def _everything_is_for_training(monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)


def person(seed, side=0):
    """A figure on grey, and where it is."""
    rng = np.random.default_rng(seed)
    image, mask = Image.new("RGB", (160, 240), (228, 228, 228)), Image.new("L", (160, 240))
    clothes = tuple(int(value) for value in rng.integers(20, 180, 3))
    for canvas, skin, cloth in ((image, (150, 110, 90), clothes), (mask, 7, 1)):
        draw = ImageDraw.Draw(canvas)
        draw.ellipse((65 + side, 20, 95 + side, 55), fill=skin)
        draw.rectangle((52 + side, 50, 108 + side, 140), fill=cloth)
        draw.rectangle((58 + side, 135, 100 + side, 225), fill=cloth)
    return image, mask


@pytest.fixture
def multimodal(tmp_path):
    root = tmp_path / "multimodal"
    (root / "images").mkdir(parents=True)
    (root / "segm").mkdir()
    captions = {}
    for number in range(6):
        for place, view in ((1, "front"), (2, "side"), (4, "full"), (7, "additional")):
            stem = f"WOMEN-Dresses-id_{number:08d}-01_{place}_{view}"
            image, mask = person(number, 4 * place)
            image.save(root / "images" / f"{stem}.jpg")
            mask.save(root / "segm" / f"{stem}_segm.png")
            if number % 2:
                captions[f"{stem}.jpg"] = f"This woman wears dress number {number}."
    (root / "captions.json").write_text(json.dumps(captions))
    return {"backend": "deepfashion_multimodal", "root": str(root)}


@pytest.fixture
def books(tmp_path):
    root = tmp_path / "books"
    rows = []
    for number in range(12):
        genre, name = ("Travel", "Calendars")[number % 2], f"{number:010d}.jpg"
        (root / genre).mkdir(parents=True, exist_ok=True)
        colours = np.random.default_rng(number).integers(0, 255, (9, 6, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((120, 180), Image.Resampling.NEAREST).save(root / genre / name)
        author = f"Zoë Writer {number // 4}"
        rows.append([str(number), name, f"http://covers.example/{name}", f"Title {number}", author, "1", genre])
    with (root / "book32-listing.csv").open("w", encoding="latin-1", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    return {"backend": "book_list", "root": str(root)}


def make(root, num=8, **changes):
    settings = SynthesisSettings.from_config(config(**changes))
    manifest = synthesize(settings, root, num=num, seed=0, runner=SerialRunner())
    return manifest, list(read_lines(root / "samples.jsonl"))


def test_multimodal_with_its_own_masks(multimodal, tmp_path):
    manifest, samples = make(
        tmp_path / "set",
        kinds={"characters": 1},
        sources={"characters": multimodal},
        stages={**TEMPLATES, "segment": {"backend": "exact"}},
        use_source_masks=True,
        quality={"duplicates.distance": {"min": 0}},
    )
    assert manifest["accepted"] == 8, manifest["rejections"]
    assert manifest["sources"]["characters"]["left_out"]["additional view"]["count"] == 6
    assert len(read_annotations(tmp_path / "set" / "annotations.json", tmp_path / "set")) == 8
    for sample in samples:
        main = sample["objects"][0]
        assert main["source"] == "deepfashion multimodal"
        assert "non-commercial" in main["licence"]
        assert len({view["reference"] for view in main["views"]}) == 2
        if main["caption"]:
            assert sample["output"].endswith(main["caption"])
        else:
            assert mentions(sample["output"], "woman in a dress")
    assert {bool(sample["objects"][0]["caption"]) for sample in samples} == {True, False}
    assert len({sample["objects"][0]["id"] for sample in samples}) == 6, "all groups are used before one is used again"


def test_views_that_need_a_segmenter_get_one(multimodal, tmp_path):
    _, samples = make(
        tmp_path / "set",
        kinds={"characters": 1},
        sources={"characters": multimodal},
        stages=TEMPLATES,
        quality={"duplicates.distance": {"min": 0}},
    )
    # Four views: the fake segmenter is nearly right, and is measured against the manual masks.
    assert all(len(sample["scores"]["mask.true_iou"]) == 4 for sample in samples)
    assert np.mean([value for sample in samples for value in sample["scores"]["mask.true_iou"]]) > 0.9


def test_books(books, tmp_path):
    _, samples = make(tmp_path / "set", kinds={"covers": 1}, sources={"covers": books}, stages=TEMPLATES)
    for sample in samples:
        facts = sample["objects"][0]["attributes"]
        assert facts
        assert all(mentions(sample["output"], value) for value in facts.values())
        with Image.open(tmp_path / "set" / sample["pictures"][0]["file"]) as image:
            assert image.size == (85, 128)


def test_objects_of_which_nothing_is_known_are_rejected_with_advice(tmp_path):
    for number in range(3):
        for view in range(2):
            path = tmp_path / "own" / f"thing {number}" / f"{view}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            person(number, view)[0].save(path)
    source = {"backend": "folder", "root": str(tmp_path / "own")}
    manifest, _ = make(
        tmp_path / "set",
        2,
        kinds={"furniture": 1},
        sources={"furniture": source},
        stages=TEMPLATES,
        run={"attempts": 2},
    )
    assert manifest["unfilled"] == 2
    rejection = next(iter(read_lines(tmp_path / "set" / "rejections.jsonl")))
    assert rejection["stage"] == "describe"
    assert "neither attributes nor a caption" in rejection["limit"]


def _thing(path, *boxes, size=(160, 160)):
    image = Image.new("RGB", size, (255, 255, 255))
    for number, box in enumerate(boxes):
        ImageDraw.Draw(image).rectangle(box, fill=(40 + 60 * number, 90, 160))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return image


def _bad_folder(root):
    """Three good objects, and one of each kind of trouble."""
    whole = (40, 30, 120, 130)
    for name, boxes in {
        "good 1": [whole],
        "good 2": [(30, 50, 130, 120)],
        "good 3": [(60, 20, 110, 140)],
        "no object": [],
        "two objects": [(10, 20, 60, 120), (100, 20, 150, 120)],
    }.items():
        for view in range(2):
            _thing(root / name / f"{view}.png", *boxes)
    for name in ("broken", "tiny", "animated", "cmyk"):
        _thing(root / name / "0.png", whole)
    (root / "broken" / "1.png").write_bytes((root / "broken" / "0.png").read_bytes()[:60])
    _thing(root / "tiny" / "1.png", (2, 2, 5, 5), size=(8, 8))
    frames = [_thing(root / "animated" / "0.png", whole), Image.new("RGB", (160, 160))]
    frames[0].save(root / "animated" / "1.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("CMYK").save(root / "cmyk" / "1.jpg")
    _thing(root / "lonely" / "0.png", whole)
    return {"backend": "folder", "root": str(root)}


def test_bad_images_are_rejections_with_their_reasons_and_the_run_goes_on(tmp_path):
    manifest, samples = make(
        tmp_path / "set",
        18,
        kinds={"furniture": 1},
        sources={"furniture": _bad_folder(tmp_path / "own")},
        quality={"mask.area": {"min": 0.02}, "mask.largest": {"min": 0.95}, "duplicates.distance": {"min": 0}},
        run={"attempts": 30},
    )
    assert manifest["accepted"] == len(samples) == 18
    assert manifest["sources"]["furniture"]["left_out"]["too few images"] == {"count": 1, "such as": ["lonely"]}
    reasons = {(line["stage"], line["reason"]): line for line in read_lines(tmp_path / "set" / "rejections.jsonl")}
    assert {("plan", "SamDataError"), ("segment", "mask.area"), ("segment", "mask.largest")} <= set(reasons)
    required_words = " ".join(line["limit"] for line in read_lines(tmp_path / "set" / "rejections.jsonl"))
    assert "broken/1.png" in required_words
    assert "tiny/1.png" in required_words
    used = {obj["id"] for sample in samples for obj in sample["objects"]}
    assert {"good 1", "good 2", "good 3", "cmyk"} <= used
    assert not used & {"no object", "two objects", "lonely"}
    files = {view["reference"] for sample in samples for obj in sample["objects"] for view in obj["views"]}
    assert not files & {"broken/1.png", "tiny/1.png"}
