"""The photographs that ship with the package: whole, small, licensed, and what the tool makes."""

import importlib.util
from pathlib import Path

from PIL import Image

import lavis_sam
from lavis_sam.datasets.annotations import read_annotations

FOLDER = Path(lavis_sam.__path__[0]) / "assets" / "photographs"
REPOSITORY = Path(__file__).resolve().parents[2]


def tool():
    spec = importlib.util.spec_from_file_location("make_photographs", REPOSITORY / "tools" / "make_photographs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_annotations_are_whole():
    samples = read_annotations(FOLDER / "annotations.json", FOLDER)
    assert len(samples) >= 12
    assert {len(sample.images) for sample in samples} == {2, 3}
    used = {image for sample in samples for image in sample.images}
    assert used == {path.name for path in FOLDER.glob("*.jpg")}


def test_images_are_small_jpegs():
    for path in FOLDER.glob("*.jpg"):
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            assert max(image.size) <= 256
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 512 * 1024


def test_no_text_names_a_side():
    """Training flips images at random, which would make such a text wrong."""
    for sample in read_annotations(FOLDER / "annotations.json", FOLDER):
        assert not {"left", "right"} & set(f"{sample.instruction} {sample.output}".lower().split())


def test_the_notice_lists_every_source():
    notice = (REPOSITORY / "NOTICE").read_text(encoding="utf-8")
    module = tool()
    assert {f"{name}.jpg" for name in module.CROPS} == {path.name for path in FOLDER.glob("*.jpg")}
    assert {crop.source for crop in module.CROPS.values()} == set(module.SOURCES)
    for source in module.SOURCES:
        assert source in notice
    assert "motorcycle_left.png" not in module.SOURCES
