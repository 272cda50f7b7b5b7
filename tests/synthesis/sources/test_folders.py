"""One's own folders, and the images that people put into them."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.protocols import SampleRequest
from lavis_sam.synthesis.sources import folders, groups
from lavis_sam.synthesis.sources.files import inside, read_cutout, read_image, read_mask
from lavis_sam.synthesis.sources.folders import IconFolder, folder, icon_name


@pytest.fixture(autouse=True)
def _everything_is_for_training(monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.0)


def save(path, mode="RGB", size=(80, 100), colour=120, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


def draw(source, position=0, views=2, unlike=()):
    return source.draw(SampleRequest(np.random.default_rng(0), views, position, unlike))


RECORDS = [
    {
        "id": "chair 1",
        "images": ["a/1.png", "a/2 ü.PNG"],
        "masks": ["a/1_mask.png", None],
        "azimuths": [0, 120.5],
        "attributes": {"colour": "green"},
        "label": "green chair",
        "caption": "A green chair.",
        "licence": "CC0",
        "height": 0.8,
    },
    {"id": 7, "images": ["b/1.png", "b/2.png"]},
    {"id": "alone", "images": ["b/1.png"]},
]


@pytest.fixture
def own(tmp_path):
    for name in ("a/1.png", "a/2 ü.PNG", "b/1.png", "b/2.png"):
        save(tmp_path / name)
    mask = Image.new("L", (80, 100))
    mask.paste(255, (20, 20, 60, 80))
    mask.save(tmp_path / "a/1_mask.png")
    (tmp_path / "manifest.jsonl").write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join(json.dumps(record) for record in RECORDS).encode() + b"\r\n\r\n"
    )
    return tmp_path


def test_a_manifest_says_everything(own):
    source = folder(str(own), "furniture", licence="mine")
    chair = next(draw(source, k) for k in range(2) if draw(source, k).id == "chair 1")
    assert (chair.label, chair.caption, chair.licence, chair.height) == ("green chair", "A green chair.", "CC0", 0.8)
    assert chair.required_words == ("green",)
    masks = {view.reference: view.alpha for view in chair.views}
    assert masks["a/1.png"].sum() == 40 * 60
    assert masks["a/2 ü.PNG"] is None
    other = next(draw(source, k) for k in range(2) if draw(source, k).id == "7")
    assert (other.licence, other.height, other.label) == ("mine", 0.9, "")
    assert [(entry.id, entry.reason) for entry in source.skipped()] == [("alone", "too few images")]


def test_a_json_list_is_a_manifest_too(own):
    (own / "list.json").write_text(json.dumps(RECORDS))
    assert len(folder(str(own), "furniture", manifest="list.json")) == 2


def test_without_a_manifest_every_folder_is_a_group(own):
    (own / "manifest.jsonl").unlink()
    source = folder(str(own), "characters")
    assert {draw(source, k).id for k in range(2)} == {"a", "b"}
    assert draw(source).height == 1.7


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (["x"], "wanted an object with id and images"),
        ({"images": ["a"]}, "wanted an object with id and images"),
        ({"id": "x", "images": "a"}, "wanted a list of paths"),
        ({"id": "x", "images": [""]}, "wanted a list of paths"),
        ({"id": "x", "images": ["a"], "mask": ["b"]}, "Did you mean 'masks'?"),
        ({"id": "x", "images": ["a"], "masks": ["b", "c"]}, "as long as images"),
        ({"id": "x", "images": ["a"], "masks": [3]}, "wanted values of one kind"),
        ({"id": "x", "images": ["a"], "attributes": {"a": 1}}, "wanted name -> words"),
        ({"id": "x", "images": ["a"], "height": -1}, "wanted metres"),
        ({"id": "x", "images": ["a"], "height": True}, "wanted metres"),
        ({"id": "x", "images": ["a"], "caption": 5}, "wanted texts"),
        ({"id": "chair 1", "images": ["a"]}, "was used before"),
    ],
)
def test_a_malformed_record_is_named(own, record, message):
    (own / "manifest.jsonl").write_text(json.dumps(RECORDS[0]) + "\n" + json.dumps(record))
    with pytest.raises(SamConfigurationError) as error:
        folder(str(own), "furniture")
    assert message in str(error.value)
    assert "manifest.jsonl[1]" in str(error.value)


def test_broken_lines_unknown_kinds_and_empty_folders(own, tmp_path):
    (own / "broken.jsonl").write_text("{")
    with pytest.raises(SamConfigurationError, match=r"broken\.jsonl:1: no JSON"):
        folder(str(own), "furniture", manifest="broken.jsonl")
    with pytest.raises(SamConfigurationError, match="unknown kind 'icons'"):
        folder(str(own), "icons")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SamConfigurationError, match="0 groups under"):
        folder(str(tmp_path / "empty"), "furniture")


def test_companions_are_other_groups(own):
    source = folder(str(own), "furniture")
    first = draw(source, 0)
    assert draw(source, None, 1, unlike=(first,)).id != first.id


# ---------------------------------------------------------------------------- images of strangers


def test_every_kind_of_image_becomes_rgb(tmp_path):
    for name, mode, options in [
        ("grey.png", "L", {}),
        ("bits.png", "1", {}),
        ("deep.png", "I;16", {}),
        ("cmyk.jpg", "CMYK", {}),
        ("palette.png", "P", {}),
        ("alpha.png", "LA", {}),
        ("one.gif", "P", {}),
        ("a.webp", "RGBA", {}),
        ("b.tif", "RGB", {}),
        ("c.bmp", "RGB", {}),
    ]:
        save(tmp_path / name, mode, colour=(0 if mode not in ("CMYK", "RGB", "RGBA", "LA") else None) or 0, **options)
        image = read_image(tmp_path, name)
        assert (image.shape, image.dtype) == ((100, 80, 3), np.uint8), name


def test_images_stand_upright_and_transparent_ones_on_white(tmp_path):
    image = Image.new("RGB", (80, 100), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path, "turned.jpg").shape == (80, 100, 3)
    save(tmp_path / "clear.png", "RGBA", colour=(255, 0, 0, 0))
    assert read_image(tmp_path, "clear.png").min() == 255
    colour, alpha = read_cutout(tmp_path, "clear.png")
    assert colour[0, 0].tolist() == [255, 0, 0]
    assert alpha.max() == 0
    save(tmp_path / "opaque.jpg")
    assert read_cutout(tmp_path, "opaque.jpg")[1].min() == 1


def _cut_off(path):
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def _animated(path):
    frames = [Image.new("RGB", (80, 80), (k, 0, 0)) for k in (0, 100, 200)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def _bomb(path):
    Image.new("1", (40_000, 40_000)).save(path, "PNG")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_cut_off, "cannot be read as an image"),
        (_animated, r"animated \(3 frames\), wanted one image"),
        (_bomb, "pixels"),
        (lambda path: path.write_bytes(b""), "cannot be read as an image"),
        (lambda path: path.write_text("<svg/>"), "cannot be read as an image"),
        (lambda path: Image.new("RGB", (80, 20)).save(path, "PNG"), "80x20 pixels, wanted at least 64 a side"),
        (lambda path: path.mkdir(), "cannot be read as an image"),
        (lambda path: None, "cannot be read as an image"),
    ],
)
def test_a_broken_image_is_a_data_error_that_names_it(tmp_path, make, message):
    make(tmp_path / "broken.png")
    with pytest.raises(SamDataError, match=message) as error:
        read_image(tmp_path, "broken.png")
    assert str(error.value).startswith("broken.png")
    assert str(tmp_path) not in str(error.value), "rejections are the same wherever the source lies"


@pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "a/../../x", "link/x.png", "a\0b"])
def test_paths_stay_inside_the_source(tmp_path, path):
    os.symlink("/", tmp_path / "link")
    with pytest.raises(SamDataError, match=r"leaves the source|no file name"):
        inside(tmp_path, path)


def test_masks_have_the_images_size(tmp_path):
    save(tmp_path / "mask.png", "L", (10, 10))
    with pytest.raises(SamDataError, match=r"mask of \(10, 10\)"):
        read_mask(tmp_path, "mask.png", (100, 80, 3))


def test_read_mask_takes_the_alpha_of_a_transparent_image(tmp_path):
    """A white image whose alpha shows the object covered the whole of it once."""
    rgba = np.full((10, 8, 4), 255, np.uint8)
    rgba[:5, :, 3], rgba[5, :, 3] = 0, 51
    Image.fromarray(rgba).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path, "mask.png", (10, 8, 3))
    assert mask[:5].max() == 0
    assert mask[5] == pytest.approx(0.2)
    assert mask[6:].min() == 1


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "RGBA"])
def test_read_mask_takes_every_label_above_0_of_an_opaque_image(tmp_path, mode):
    labels = np.zeros((10, 8), np.uint16 if mode == "I;16" else np.uint8)
    labels[2:4] = 3
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette([0, 0, 0] * 256)
    (image.point(lambda value: value * 80).convert("RGBA") if mode == "RGBA" else image).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path, "mask.png", (10, 8, 3))
    assert mask.sum() == 16
    assert mask[2:4].min() == 1


# ---------------------------------------------------------------------------- icons


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("acorn", "acorn"),
        ("red_Apple-2", "red apple 2"),
        ("1f330", "chestnut"),
        ("emoji_u1f34e", "red apple"),
        ("U+1F3E0", "house building"),
        ("2708-fe0f", "airplane"),
        ("1f468-200d-1f52c", ""),
        ("1fffff", ""),
        ("face", "face"),
    ],
)
def test_icons_are_named_by_their_files(stem, name):
    assert icon_name(stem) == name


def test_an_icon_folder(tmp_path):
    for name in ("acorn.png", "1f34e.png", "x9.png", "Acorn.webp", "1fffff.png"):
        save(tmp_path / name, "RGBA", (64, 64))
    (tmp_path / "names.json").write_text(json.dumps({"x9.png": "rocket"}))
    (tmp_path / "readme.txt").touch()
    source = IconFolder(str(tmp_path), licence="MIT")
    drawn = [draw(source, k, views=2) for k in range(3)]
    assert [icon.label for icon in drawn] == ["acorn", "red apple", "rocket"]
    assert drawn[0].views[0] is drawn[0].views[1]
    assert draw(source, None, 1, unlike=tuple(drawn[:2])).label == "rocket"
    with pytest.raises(SamDataError, match="found no icon besides"):
        draw(source, None, 1, unlike=tuple(drawn))
    assert {(entry.id, entry.reason) for entry in source.skipped()} == {
        ("acorn.png", "name used before"),
        ("1fffff.png", "no name"),
    }


def test_a_folder_without_icons(tmp_path):
    with pytest.raises(SamConfigurationError, match="0 named icons"):
        IconFolder(str(tmp_path))


def test_held_out_groups_are_never_in_both_splits(own, monkeypatch):
    monkeypatch.setattr(groups, "_HELD_OUT", 0.5)
    names = [f"icon {k}" for k in range(200)]
    share = sum(groups.is_held_out(name) for name in names) / len(names)
    assert 0.4 < share < 0.6
    assert folders.is_held_out is groups.is_held_out


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path, monkeypatch):
    (tmp_path / "chair" / "locked").mkdir(parents=True)
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SamDataError, match="locked: cannot be listed"):
        folder(str(tmp_path), "furniture")
