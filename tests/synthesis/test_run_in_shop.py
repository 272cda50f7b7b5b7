"""DeepFashion's in-shop layout, whose files know no words: the captioner gives them, and answers have to keep them."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from helpers.captioner import NAMES
from helpers.synthesis import config
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.dataset_writer import read_lines
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner
from lavis_sam.synthesis.sources import groups


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Drawn people, each in one colour and three views, under a shelf whose name nobody would say."""
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)
    names = []
    for number in range(8):
        colour = NAMES[sorted(NAMES)[number % 4]]
        for place, view in ((1, "front"), (2, "side"), (4, "full")):
            image = Image.new("RGB", (160, 240), (236, 236, 236))
            draw, side = ImageDraw.Draw(image), 5 * place + number
            draw.ellipse((60 + side, 20, 90 + side, 55), fill=(150, 110, 90))
            draw.rectangle((48 + side, 50, 104 + side, 225), fill=colour)
            names.append(f"img/WOMEN/Rompers_Jumpsuits/id_{number:08d}/01_{place}_{view}.jpg")
            (tmp_path / "shop" / names[-1]).parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(number * 9 + place).integers(0, 6, (240, 160, 3), dtype=np.uint8)
            Image.fromarray(np.asarray(image) - noise).save(tmp_path / "shop" / names[-1])
    (tmp_path / "shop" / "Eval").mkdir()
    rows = "\n".join(f"{name:<70} {name.split('/')[3]:<12} train" for name in names)
    (tmp_path / "shop" / "Eval" / "list_eval_partition.txt").write_text(
        f"{len(names)}\nimage_name{'':<60} item_id      evaluation_status\n{rows}\n"
    )
    return {"backend": "deepfashion_in_shop", "root": str(tmp_path / "shop")}


def test_in_shop_answers_come_from_the_captioner_and_none_is_refused_for_words_of_shelves(shop, tmp_path):
    plain = config(
        kinds={"characters": 1},
        sources={"characters": shop},
        stages={"describe": {"backend": "helpers.captioner:Captioner"}},
        quality={"duplicates.distance": {"min": 0}},
    )
    manifest = synthesize(SynthesisSettings.from_config(plain), tmp_path / "set", num=8, seed=0, runner=SerialRunner())
    samples = list(read_lines(tmp_path / "set" / "samples.jsonl"))
    assert len(samples) == 8
    assert not {reason for reason in manifest["rejections"] if reason.startswith("text.")}
    for sample in samples:
        main = sample["objects"][0]
        (colour,) = [name for name in NAMES if mentions(sample["output"], name)]
        assert colour == sorted(NAMES)[int(main["id"][3:11]) % 4]
        assert main["told"] == ["woman", f"{colour} dress"]
        assert main["attributes"]["dress"] == f"{colour} dress"
        assert "romper" not in sample["output"]
        assert "wall" not in sample["output"]
        assert sample["scores"]["text.attributes"] == [1.0]
