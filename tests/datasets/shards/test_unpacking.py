"""Shards become a folder again."""

import json
from dataclasses import replace

import pytest

from helpers.shards import contents, offset_of, overwrite, sharded, tar_of, write_images
from lavis_sam.datasets.shards import unpack_shards, write_shards
from lavis_sam.errors import SamDataError


@pytest.fixture
def source(tmp_path):
    return write_images(tmp_path / "pictures"), tmp_path / "pictures"


def test_unpacking_wants_an_empty_folder(source, tmp_path):
    samples, root = source
    write_shards(samples, root, tmp_path / "out")
    with pytest.raises(SamDataError, match="wanted a new or empty one"):
        unpack_shards([tmp_path / "out"], root)


def test_unpacking_refuses_two_images_of_one_name(source, tmp_path):
    samples, root = source
    other = tmp_path / "other"
    others = [replace(sample, id=f"other {sample.id}") for sample in write_images(other)]
    (other / samples[0].images[0]).write_bytes((other / samples[1].images[0]).read_bytes())
    write_shards(samples, root, tmp_path / "one")
    write_shards(others, other, tmp_path / "two")
    with pytest.raises(SamDataError, match="was written with other contents before"):
        unpack_shards([tmp_path / "one", tmp_path / "two"], tmp_path / "back")


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (("annotations.json",), "the annotation file's name"),
        (("a", "a/b"), "cannot be written"),
        (("x" * 300,), "cannot be written"),
    ],
)
def test_unpacking_refuses_paths_that_cannot_be(source, tmp_path, images, complaint):
    """A shard from elsewhere may name its images as it likes."""

    record = {"id": 1, "img_list": list(images), "instruction": "What?", "output": "That."}
    members = [(f"a.{number}.png", b"1") for number in range(1, len(images) + 1)]
    path = tar_of(tmp_path / "t.tar", [("a.json", json.dumps(record).encode()), *members])
    with pytest.raises(SamDataError, match=complaint):
        unpack_shards([path], tmp_path / "back")


def test_unpacking_leaves_damaged_samples_out_if_allowed(source, tmp_path):

    samples, root = source
    write_shards(samples, root, tmp_path / "out")
    shard = tmp_path / "out" / "000000.tar"
    overwrite(shard, offset_of(shard, "000000001.1.png") + 30, b"?")
    with pytest.raises(SamDataError, match="checksum"):
        unpack_shards([tmp_path / "out"], tmp_path / "strict")
    report = unpack_shards([tmp_path / "out"], tmp_path / "back", strict=False)
    assert contents(report.samples) == contents(samples[:1] + samples[2:])
    assert report.dropped == 1


@pytest.fixture
def shards(tmp_path):
    return sharded(tmp_path)


def test_unpacked_shards_are_what_was_packed(shards, tmp_path):
    samples, path = shards
    report = unpack_shards([path], tmp_path / "again")
    assert contents(report.samples) == contents(samples)
    for sample in samples:
        for name in sample.images:
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "pictures" / name).read_bytes()
    write_shards(report.samples, tmp_path / "again", tmp_path / "shards_again", shard_bytes=32 * 1024)
    for shard in sorted(path.iterdir()):
        assert (tmp_path / "shards_again" / shard.name).read_bytes() == shard.read_bytes()
