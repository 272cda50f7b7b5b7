"""An icon set whose files are numbered: the captioner names what is drawn, and two icons of one name are refused."""

import json

import pytest
from PIL import Image, ImageDraw

from helpers.captioner import ICON_COLOURS
from helpers.synthesis import config
from helpers.synthesis_runs import make
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.dataset_writer import read_lines
from lavis_sam.synthesis.quality import mentions


@pytest.fixture
def icons(tmp_path):
    """Discs on nothing: transparent pixels are black, as many tools write them."""
    (tmp_path / "icons").mkdir()
    for number, colour in enumerate([*ICON_COLOURS.values(), ICON_COLOURS["red"]]):
        image = Image.new("RGBA", (48, 48), (0, 0, 0, 0))
        ImageDraw.Draw(image).ellipse((4, 4, 43, 43 - number // 4), fill=(*colour, 255))
        image.save(tmp_path / "icons" / f"{number:04d}.png")
    return {"backend": "folder", "root": str(tmp_path / "icons"), "split": "all", "named_by": "captioner"}


def plain(icons, form, **changes):
    return config(
        form=form,
        kinds={"icons": 1},
        sources={"icons": icons},
        stages={"describe": {"backend": "helpers.captioner:IconCaptioner"}},
        quality={"duplicates.distance": {"min": 0}},
        **changes,
    )


@pytest.mark.parametrize("form", ["pairs", "changes", "captions"])
def test_answers_name_what_the_captioner_saw(icons, form, tmp_path):
    manifest = make(tmp_path / "set", plain(icons, form), num=6)
    samples = list(read_lines(tmp_path / "set" / "samples.jsonl"))
    assert len(samples) == 6
    for sample in samples:
        for obj in sample["objects"]:
            colour = list(ICON_COLOURS)[int(obj["id"][:4]) % 12]
            assert (obj["label"], obj["description"]) == (f"{colour} disc", _an(f"{colour} disc"))
            assert obj["attributes"] == {"icon": f"{colour} disc"}
        assert sample["scores"]["text.attributes"] == [1.0]
        if form == "pairs":
            assert mentions(sample["output"], sample["objects"][0]["label"])
            labels = [obj["label"] for obj in sample["objects"]]
            assert len(labels) == len(set(labels)), "0000.png and 0012.png are both red"
    assert "SamDataError" in manifest["rejections"] or form != "pairs"
    assert "0000.png" not in json.dumps([sample["output"] for sample in samples])


def _an(name):
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def test_icons_without_names_need_a_describer_that_looks(icons, tmp_path):
    blind = plain(icons, "pairs")
    blind["stages"]["describe"] = {"backend": "templates"}
    with pytest.raises(SamConfigurationError, match=r"sources\.icons: .*\(templates\) looks at no image"):
        make(tmp_path / "set", blind, num=2)
    assert not (tmp_path / "set").exists()


def test_another_way_of_naming_is_refused(icons, tmp_path):
    with pytest.raises(SamConfigurationError, match=r"sources\.icons\.named_by"):
        make(tmp_path / "set", plain({**icons, "named_by": "people"}, "pairs"), num=2)
