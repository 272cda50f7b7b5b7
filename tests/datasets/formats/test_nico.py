"""What the miniatures leave out: other layouts of the same release, and files named a little differently."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.dummies import record, write_dataset
from helpers.release_parts import story, write_images, write_json, write_no_image
from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.image_folder import ImageFolder
from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.datasets.formats.release import split_of_name
from lavis_sam.errors import SamConfigurationError


def kinds(report):
    return [problem.kind for problem in report.problems]


def test_aesop_from_the_stories_themselves(tmp_path):
    """meta.json has no id and no paths: its folder is the id."""
    for name, split in (("0001", "train"), ("0002", "test"), ("0003", None)):
        write_images(tmp_path / "renders" / name, *[f"panel_{k}.jpg" for k in range(3)])
        meta = {"title": "T", "theme": [], "bg": [1], "story": ["A. ", "B.", "C."], "split": split}
        write_json(tmp_path / "data" / "stories" / name / "meta.json", meta)
    (tmp_path / "data" / "stories" / "0004").mkdir()
    (tmp_path / "data" / "stories" / "0004" / "meta.json").write_text("{broken")
    report = read_dataset("aesop", tmp_path / "data", tmp_path)
    assert [sample.id for sample in report.samples] == ["0001", "0002", "0003"]
    assert report.samples[0].images == tuple(f"renders/0001/panel_{k}.jpg" for k in range(3))
    assert report.samples[0].instruction.endswith(story("A.", "B."))
    assert kinds(report) == ["not JSON"]
    # A story that does not say its split belongs to none: it must not be trained on and evaluated.
    tested = read_dataset("aesop", tmp_path / "data", tmp_path, split="test")
    assert [sample.id for sample in tested.samples] == ["0002"]


def test_vist_descriptions_in_isolation(tmp_path):
    """No story ids: stories are runs of 0 to 4."""
    write_images(tmp_path / "images" / "val", *[f"{k}.jpg" for k in range(10)])
    orders = [0, 1, 2, 3, 4, 0, 1, 0, 1, 2, 3, 4]
    annotations = [
        [
            {
                "original_text": f"Text {n}.",
                "album_id": "72",
                "photo_flickr_id": str(n % 10),
                "photo_order_in_story": order,
            }
        ]
        for n, order in enumerate(orders)
    ]
    path = write_json(tmp_path / "val.description-in-isolation.json", {"annotations": annotations})
    report = read_dataset("vist", path, tmp_path / "images")
    assert [sample.id for sample in report.samples] == ["72-0", "72-7"]
    assert report.samples[1].images == tuple(f"val/{k}.jpg" for k in (7, 8, 9, 0, 1))
    assert report.samples[1].output == "Text 11."
    assert kinds(report) == ["incomplete story"]


def test_vist_with_all_images_in_one_folder(tmp_path):
    miniature = MINIATURES["vist"](tmp_path)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (miniature.images / "test").iterdir():
        path.rename(flat / path.name)
    report = read_dataset("vist", miniature.storages["test"], flat)
    assert report.samples[0].images == tuple(f"71{k:02d}.JPG" for k in range(5))


def test_nico_by_concept_and_context(tmp_path):
    for context in ("on grass", "on snow"):
        write_images(tmp_path / "ANIMALS" / "dog" / context, *[f"{k}.jpg" for k in range(5)])
    write_no_image(tmp_path / "ANIMALS" / "dog" / "on snow" / "0.jpg")
    report = read_dataset("nico_animal", tmp_path, tmp_path, options={"group_size": 2, "target": "concept_context"})
    assert [(sample.id, sample.output) for sample in report.samples] == [
        ("dog on grass-0", "dog on grass"),
        ("dog on grass-1", "dog on grass"),
        ("dog on snow-0", "dog on snow"),
        ("dog on snow-1", "dog on snow"),
    ]
    used = [image for sample in report.samples for image in sample.images]
    assert len(set(used)) == len(used) == 8
    assert report.samples[2].images == ("ANIMALS/dog/on snow/1.jpg", "ANIMALS/dog/on snow/2.jpg")
    assert kinds(report) == ["unreadable image"]


def test_nico_groups_use_as_many_images_as_they_can(tmp_path):
    """1, 1, 4 and 2 images make four pairs of different contexts, if the largest context comes first each time."""
    for context, count in (("a", 1), ("b", 1), ("c", 4), ("d", 2)):
        write_images(tmp_path / "vehicle" / "car" / context, *[f"{k}.jpg" for k in range(count)])
    report = read_dataset("nico_vehicle", tmp_path / "vehicle", tmp_path, options={"group_size": 2})
    assert len(report.samples) == 4
    for sample in report.samples:
        assert len({image.split("/")[2] for image in sample.images}) == 2
    assert not report.repairs


def test_nico_however_its_folder_is_spelled(tmp_path, monkeypatch):
    for context in "abcde":
        write_images(tmp_path / "nico" / "Animal" / "dog" / context, "1.jpg")
    monkeypatch.chdir(tmp_path)
    for annotations in ("nico", "nico/Animal", tmp_path / "nico" / "Animal", "nico/../nico/Animal", tmp_path):
        report = read_dataset("nico_animal", Path(annotations), tmp_path / "nico")
        assert report.samples[0].images[0] == "Animal/dog/a/1.jpg", annotations


def test_nico_concepts_right_below_the_root(tmp_path):
    for context in "abcde":
        write_images(tmp_path / "dog" / context, "1.jpg")
    report = read_dataset("nico_animal", tmp_path, tmp_path)
    assert [sample.id for sample in report.samples] == ["dog-0"]


def test_nico_without_its_superclass_says_so(tmp_path):
    write_images(tmp_path / "Vehicles" / "bus" / "on road", "1.jpg")
    report = read_dataset("nico_animal", tmp_path, tmp_path)
    assert not report.usable
    assert "animal" in report.summary()


@pytest.mark.parametrize(
    ("name", "split", "found"), [("clevr_change", "train", []), ("birds_to_words", "val", ["wrong columns"])]
)
def test_problems_of_other_splits_are_not_told(tmp_path, name, split, found):
    """Where one file holds all splits, only a row that says none is everybody's problem."""
    miniature = MINIATURES[name](tmp_path)
    assert kinds(read_dataset(name, miniature.annotations, miniature.images, split=split)) == found


def test_clevr_change_without_splits(tmp_path):
    MINIATURES["clevr_change"](tmp_path)
    (tmp_path / "splits.json").unlink()
    everything = read_dataset("clevr_change", tmp_path / "change_captions.json", tmp_path)
    assert [sample.id for sample in everything.samples] == [
        "000000-semantic",
        "000000-nonsemantic",
        "000002-nonsemantic",
        "000013-semantic",
    ]
    report = read_dataset("clevr_change", tmp_path, tmp_path, split="train")
    assert not report.usable
    assert "splits.json" in report.summary()


def test_birds_to_words_in_latin_1(tmp_path):
    miniature = MINIATURES["birds_to_words"](tmp_path)
    text = miniature.annotations.read_text(encoding="utf-8-sig").replace("“Animal 1”", "Café")
    miniature.annotations.write_bytes(text.encode("latin-1"))
    report = read_dataset("birds_to_words", tmp_path, miniature.images, split="val")
    assert report.samples[0].output == "Café is bigger."
    assert any("latin-1" in what for what in report.repairs)


def test_birds_of_one_observation_are_told_apart(tmp_path):
    """Two photographs of one observation are two pairs; `large.jpg` alone is nobody's image."""
    miniature = MINIATURES["birds_to_words"](tmp_path)
    header, first, *_ = miniature.annotations.read_text(encoding="utf-8-sig").splitlines()
    second = first.replace("photos/502", "photos/777").replace("brown", "blue")
    miniature.annotations.write_text("\n".join([header, first, second]))
    report = read_dataset("birds_to_words", miniature.annotations, miniature.images)
    assert [sample.id for sample in report.samples] == ["1001-1002"]
    write_images(miniature.images, "777.png")
    report = read_dataset("birds_to_words", miniature.annotations, miniature.images)
    assert [(sample.id, sample.images[1]) for sample in report.samples] == [
        ("1001-1002", "502.jpeg"),
        ("1001-1002-2", "777.png"),
    ]


def test_birds_to_words_without_a_header(tmp_path):
    miniature = MINIATURES["birds_to_words"](tmp_path)
    lines = miniature.annotations.read_text(encoding="utf-8-sig").splitlines()
    miniature.annotations.write_text("\n".join(lines[1:]))
    report = read_dataset("birds_to_words", miniature.annotations, miniature.images)
    assert not report.usable
    assert "img1ObservationURL" in report.summary()


def test_a_release_in_the_unified_format(tmp_path):
    """The authors' evaluation folders, as a folder or as its file; instructions are their own."""
    path = write_dataset(tmp_path, [record(1), record(2, output="")])
    for annotations in (path, tmp_path):
        report = read_dataset("aesop", annotations, tmp_path)
        assert [(sample.id, sample.instruction) for sample in report.samples] == [(1, "What?")]
        assert kinds(report) == ["empty output"]


def test_a_folder_with_a_file_for_each_split(tmp_path):
    """What `convert` wrote: no split may be read as another one, or as all."""
    for name in ("", ".train", ".test"):
        write_dataset(tmp_path, [record(name)]).rename(tmp_path / f"annotations{name}.json")
    found = {split: read_dataset("vist", tmp_path, tmp_path, split=split) for split in (None, "train", "val", "test")}
    assert [sample.id for sample in found["train"].samples] == [".train"]
    assert [sample.id for sample in found["test"].samples] == [".test"]
    assert not found["val"].usable
    assert "annotations.val.json" in found["val"].summary()
    (tmp_path / "annotations.train.json").unlink()
    (tmp_path / "annotations.test.json").unlink()
    write_dataset(tmp_path, [record("all")])
    assert [sample.id for sample in read_dataset("vist", tmp_path, tmp_path, split="val").samples] == ["all"]


def test_a_split_that_nobody_is_in_lists_the_others(tmp_path):
    miniature = MINIATURES["birds_to_words"](tmp_path)
    table = miniature.annotations
    table.write_bytes(table.read_bytes().replace(b"\tval\t", b"\tsometimes\t"))
    report = read_dataset("birds_to_words", table, miniature.images, split="val")
    assert not report.usable
    assert "found none of the split 'val'" in report.summary()
    assert "{'train': 3, 'not said': 1}" in report.summary()
    assert len(read_dataset("birds_to_words", table, miniature.images).samples) == 2


def test_several_files_are_one_data_set(tmp_path):
    miniature = MINIATURES["spot_the_diff"](tmp_path)
    report = read_dataset("spot_the_diff", list(miniature.storages.values()), miniature.images)
    assert len(report.samples) == len(report.splits) == 4


def test_a_folder_without_the_files_lists_their_names(tmp_path):
    report = read_dataset("iedit", tmp_path, tmp_path)
    assert not report.usable
    assert "train.json, valid.json, test.json" in report.summary()


def test_unknown_format_and_split(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"unknown format 'vits'.*Did you mean 'vist'"):
        read_dataset("vits", tmp_path, tmp_path)
    with pytest.raises(SamConfigurationError, match=r"unknown split 'valid'.*test, train, val"):
        read_dataset("vist", tmp_path, tmp_path, split="valid")
    with pytest.raises(SamConfigurationError, match=r"unknown option 'group_size'.*\(none\)"):
        read_dataset("vist", tmp_path, tmp_path, options={"group_size": 3})


@pytest.mark.parametrize(
    ("name", "split"),
    [("train.json", "train"), ("valid.json", "val"), ("Val", "val"), ("dev", "val"), ("test.x.json", "test")],
)
def test_split_of_a_name(name, split):
    assert split_of_name(name) == split


@pytest.mark.parametrize("name", ["", "all", "articles.jsonl", "trainer.json", "1"])
def test_no_split_of_a_name(name):
    assert split_of_name(name) is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("a/p.jpg", "a/p.jpg"),
        ("./a//p.jpg", "a/p.jpg"),
        ("p.png", "b/p.PNG"),  # the extension that was asked for, in either case
        ("p.gif", "a/p.jpg"),  # any extension: the shortest way, then the order of the alphabet
        ("P.jpg", "a/p.jpg"),
        ("x/y/q.jpg", "x/y/q.jpeg"),
        ("cafe\u0301.jpg", "c/caf\u00e9.jpg"),  # the two Unicode forms of one letter
        ("dir.with.dots/r.jpg", "dir.with.dots/r.jpg"),
        ("version1.2", "version1.2.jpg"),
        ("nowhere.jpg", "nowhere.jpg"),
        ("../a/p.jpg", "../a/p.jpg"),
        ("/a/p.jpg", "/a/p.jpg"),
        ("a\0.jpg", "a\0.jpg"),
    ],
)
def test_finding_images(tmp_path, wanted, found):
    names = [
        "a/p.jpg",
        "b/p.PNG",
        "b/c/p.jpg",
        "x/y/q.jpeg",
        "c/caf\u00e9.jpg",
        "dir.with.dots/r.jpg",
        "version1.2.jpg",
    ]
    write_images(tmp_path, *names, ".hidden/p.gif")
    (tmp_path / "a" / "p.txt").write_text("no image")
    assert ImageFolder(tmp_path).find([wanted]) == (found,)


def test_the_first_name_that_is_there(tmp_path):
    write_images(tmp_path, "b.jpg", "c.jpg")
    assert ImageFolder(tmp_path).find(["a.jpg", "b.jpg"], ["c.jpg", "b.jpg"]) == ("b.jpg", "c.jpg")


def test_articles_of_several_files(tmp_path):
    """An export with a file for each split needs no field `split`."""
    write_images(tmp_path, "h.jpg")
    for split in ("train", "test"):
        article = {"_id": split, "parsed_section": [{"type": "caption", "text": "C.", "hash": "h"}]}
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(article))
    report = read_dataset("dm800k", tmp_path, tmp_path)
    assert [(sample.id, split) for sample, split in zip(report.samples, report.splits, strict=True)] == [
        ("train", "train"),
        ("test", "test"),
    ]
    assert [sample.id for sample in read_dataset("dm800k", tmp_path, tmp_path, split="test").samples] == ["test"]


def test_reading_needs_neither_lavis_nor_torch():
    code = (
        "import sys, lavis_sam.datasets.formats, lavis_sam.datasets.exchange\n"
        "heavy = {'torch', 'lavis', 'transformers', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
