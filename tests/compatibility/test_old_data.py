"""Data sets that version 0.1.0 wrote, as a folder and as shards: they are valid, whole, and train as they did."""

import json

import pytest

from lavis_sam import train

TRAINED_ON = {
    "unified": [
        "datasets.mmlink.type=default",
        "datasets.mmlink.build_info.images.storage=unified",
        "datasets.mmlink.build_info.annotations.train.storage=unified/annotations.json",
    ],
    "shards": [
        "datasets.mmlink.type=shards",
        "datasets.mmlink.build_info.annotations.train.storage=shards",
    ],
}
SHORT = [
    "model.pretrained=",
    "run.job_id=trained",
    "run.valid_splits=[]",
    "run.test_splits=[]",
    "run.max_epoch=2",
    "run.batch_size_train=2",
]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["unified", "shards"])
def test_an_old_data_set_is_valid(bring, run, name):
    bring(name)
    code, text, error = run("data", "validate", name, "--strict", "--json")
    assert code == 0, error
    report = json.loads(text)
    assert (report["valid"], report["samples"], report["dropped"]) == (True, 5, 0)


def test_damage_of_an_old_shard_is_noticed(bring, run):
    root = bring("shards")
    path = root / "shards" / "000000.tar"
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xd8\xff") + 300  # within the first JPEG
    content[place] ^= 0xFF
    path.write_bytes(content)
    assert run("data", "validate", "shards", "--strict")[0] != 0


@pytest.mark.parametrize("name", ["unified", "shards"])
def test_its_figures_are_the_same(bring, run, expected, assert_same, name):
    bring(name)
    code, text, error = run("data", "stats", name, "--json")
    assert code == 0, error
    assert_same(json.loads(text), expected("data_stats.json")[name])


def test_old_shards_are_unpacked_to_what_was_packed(bring, run):
    root = bring("unified", "shards")
    code, _, error = run("data", "shards", "shards", "again", "--unpack")
    assert code == 0, error
    records = read(root / "unified" / "annotations.json")
    assert read(root / "again" / "annotations.json") == records
    names = [name for record in records for name in record["img_list"]]
    assert len(names) == 10
    for name in names:
        assert (root / "again" / name).read_bytes() == (root / "unified" / name).read_bytes()


def test_the_same_data_set_is_packed_to_the_same_bytes(bring, run):
    root = bring("unified", "shards")
    code, _, error = run("data", "shards", "unified", "again")
    assert code == 0, error
    names = sorted(path.name for path in (root / "shards").iterdir())
    assert sorted(path.name for path in (root / "again").iterdir()) == names
    assert names == ["000000.tar", "manifest.json"]
    assert (root / "again" / "000000.tar").read_bytes() == (root / "shards" / "000000.tar").read_bytes()
    assert read(root / "again" / "manifest.json") == read(root / "shards" / "manifest.json")


def test_folders_of_images_are_collected_as_they_were(bring, run):
    root = bring("unified")
    wanted = read(root / "unified" / "annotations.json")
    (root / "unified" / "annotations.json").unlink()
    code, _, error = run("data", "collect", "unified", "--instruction", "What do these images have in common?")
    assert code == 0, error
    assert read(root / "unified" / "annotations.json") == wanted


@pytest.mark.parametrize(
    ("name", "annotations", "images", "count"),
    [("aesop", "data", "", 1), ("vist", "sis", "images", 1), ("dm800k", "articles.jsonl", "images", 3)],
)
def test_a_release_is_converted_to_the_same_samples(bring, run, expected, name, annotations, images, count):
    """The instructions too, which are drawn by the sample's id."""
    root = bring(f"releases/{name}")
    places = ["--annotations", f"releases/{name}/{annotations}", "--images", f"releases/{name}/{images}"]
    code, _, error = run("data", "convert", name, *places, "--out", "converted")
    assert code == 0, error
    found = read(root / "converted" / "annotations.json")
    assert len(found) == count
    assert found == expected(f"converted_{name}.json")


@pytest.mark.parametrize("name", ["shards", pytest.param("unified", marks=pytest.mark.integration)])
def test_training_on_it_has_the_same_losses(bring, expected, events, name):
    root = bring("train.yaml", name)
    assert train.main(["--cfg-path", "train.yaml", "--options", *SHORT, *TRAINED_ON[name]]) == 0
    found = [event["loss"] for event in events(root / "trained", "train")]
    assert len(found) == 6
    assert found == pytest.approx(expected("data_losses.json")[name], rel=1e-5)
