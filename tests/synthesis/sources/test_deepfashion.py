"""DeepFashion in the exact layouts of its releases, pitfalls included."""

import json

import numpy as np
import pytest
from PIL import Image

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.sources import groups
from lavis_sam.synthesis.sources.deepfashion import in_shop, multimodal


@pytest.fixture(autouse=True)
def _everything_is_for_training(monkeypatch):
    """With so few groups the hash may hold out any of them."""
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)


def image(path, colour=(90, 60, 30), size=(96, 144)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def draw(source, position=0, views=2, unlike=()):
    return source.draw(SampleRequest(np.random.default_rng(0), views, position, unlike))


IN_SHOP = [
    "img/WOMEN/Dresses/id_00000002/02_1_front.jpg",
    "img/WOMEN/Dresses/id_00000002/02_2_side.jpg",
    "img/WOMEN/Dresses/id_00000002/02_4_full.jpg",
    "img/WOMEN/Dresses/id_00000002/02_6_flat.jpg",
    "img/WOMEN/Dresses/id_00000002/03_1_front.jpg",  # the same item in another colour: another group
    "img/WOMEN/Dresses/id_00000002/03_3_back.jpg",
    "img/MEN/Denim/id_00000080/01_1_front.jpg",
    "img/MEN/Denim/id_00000080/01_7_additional.jpg",
]


@pytest.fixture
def shop(tmp_path):
    for name in IN_SHOP:
        image(tmp_path / name)
    rows = "\n".join(f"{name:<70} {name.split('/')[3]:<12} train" for name in IN_SHOP)
    (tmp_path / "Eval").mkdir()
    (tmp_path / "Eval" / "list_eval_partition.txt").write_text(
        f"{len(IN_SHOP)}\nimage_name{'':<60} item_id      evaluation_status\n{rows}\n"
    )
    return tmp_path


def test_in_shop_groups_are_an_item_and_its_variant(shop):
    source = in_shop(str(shop))
    assert len(source) == 2
    first = draw(source)
    assert first.id == "id_00000002-02"
    assert {view.description for view in draw(source, views=3).views} == {"front", "side", "full"}
    assert draw(source, 1).id == "id_00000002-03"
    assert first.attributes == {"person": "woman", "wears": "a dress"}
    assert first.label == "woman in a dress"
    assert first.required_words == ("woman", "a dress")
    assert first.height == pytest.approx(1.68)
    assert "non-commercial" in first.licence


def test_in_shop_leaves_out_what_shows_no_person_and_what_is_alone(shop):
    skipped = sorted((entry.id, entry.reason) for entry in in_shop(str(shop)).skipped())
    assert skipped == [
        ("id_00000080-01", "too few images"),
        ("img/MEN/Denim/id_00000080/01_7_additional.jpg", "additional view"),
        ("img/WOMEN/Dresses/id_00000002/02_6_flat.jpg", "flat view"),
    ]


def test_in_shop_without_its_list_reads_the_folders(shop):
    (shop / "Eval" / "list_eval_partition.txt").unlink()
    assert len(in_shop(str(shop))) == 2


def test_in_shop_with_a_malformed_list(shop):
    (shop / "Eval" / "list_eval_partition.txt").write_text("image_name item_id\n")
    with pytest.raises(SamConfigurationError, match="wanted a count and"):
        in_shop(str(shop))


def test_a_listed_image_that_is_missing_rejects_the_draw(shop):
    for name in IN_SHOP[4:6]:
        (shop / name).unlink()
    source = in_shop(str(shop))
    with pytest.raises(SamDataError, match="cannot be read as an image"):
        draw(source, 1)
    assert draw(source, 0).id == "id_00000002-02", "the others still work"


@pytest.fixture
def modal(tmp_path):
    names = [
        "WOMEN-Dresses-id_00000002-02_1_front.jpg",
        "WOMEN-Dresses-id_00000002-02_2_side.jpg",
        "WOMEN-Rompers_Jumpsuits-id_00000009-01_1_front.jpg",
        "WOMEN-Rompers_Jumpsuits-id_00000009-01_4_full.jpg",
        "MEN-Denim-id_00000080-01_7_additional.jpg",
    ]
    for name in names:
        image(tmp_path / "images" / name)
    for name in names[:3]:
        labels = np.zeros((144, 96), np.uint8)
        labels[20:130, 30:60] = 1  # top
        labels[60:130, 30:60] = 15  # skin
        mask = Image.fromarray(labels).convert("P")
        mask.putpalette([0, 0, 0] * 256)  # the labels are the indices; their colours say nothing
        (tmp_path / "segm").mkdir(exist_ok=True)
        mask.save(tmp_path / "segm" / f"{name[:-4]}_segm.png")
    text = "The lady wears a long dress  with floral patterns. "
    (tmp_path / "captions.json").write_text(json.dumps({names[0]: text, names[1]: "Another text.", "x": 1}))
    return tmp_path


def test_multimodal_names_masks_and_captions(modal):
    source = multimodal(str(modal))
    assert len(source) == 2
    woman = draw(source)
    assert woman.id == "WOMEN-Dresses-id_00000002-02"
    assert woman.caption == "The lady wears a long dress with floral patterns."
    assert woman.required_words == (), "a caption has its own words"
    for view in woman.views:
        assert view.alpha.sum() == 110 * 30
        assert view.alpha.shape == view.image.shape[:2]
    other = draw(source, 1)
    assert other.required_words == ("woman", "a romper or jumpsuit")
    assert sorted(view.alpha is None for view in other.views) == [False, True]


def test_multimodal_masks_of_another_size_are_refused(modal):
    Image.new("L", (10, 10), 1).save(modal / "segm" / "WOMEN-Dresses-id_00000002-02_1_front_segm.png")
    with pytest.raises(SamDataError, match=r"mask of \(10, 10\) for an image of \(144, 96\)"):
        draw(multimodal(str(modal)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "captions.json").unlink(), "captions.json: missing"),
        (lambda root: (root / "captions.json").write_text("{"), "not JSON"),
        (lambda root: (root / "captions.json").write_text("[]"), "found a list"),
        (lambda root: (root / "images").rename(root / "pictures"), "wanted an existing folder"),
    ],
)
def test_multimodal_that_is_not_whole(modal, change, message):
    change(modal)
    with pytest.raises(SamConfigurationError, match=message):
        multimodal(str(modal))


def test_companions_differ_in_what_is_known_of_them(shop):
    source = in_shop(str(shop))
    with pytest.raises(SamDataError, match="found no object that differs"):
        draw(source, None, 1, unlike=(draw(source),))
