"""Images out of shards: few open files, and damage is named."""

import zipfile

import pytest
import torch
from PIL import Image

from helpers.fuzzing import limited_memory
from helpers.shards import opened, overwrite, sharded, tar_with_holes
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards import DamagedSampleError, scan_shards, write_shards
from lavis_sam.datasets.shards import images as images_module
from lavis_sam.errors import SamDataError


def assert_equal_items(one, two):
    assert one.keys() == two.keys()
    assert torch.equal(one["image"], two["image"])
    assert {k: v for k, v in one.items() if k != "image"} == {k: v for k, v in two.items() if k != "image"}


def test_few_files_are_open_at_once(pair, monkeypatch):
    monkeypatch.setattr(images_module, "_MOST_OPEN_FILES", 2)
    dataset = pair[1]
    for index in (0, 9, 4, 0, 9):
        assert_equal_items(dataset[index], pair[0][index])
        assert len(dataset.store._files._open) <= 2


def test_an_image_is_read_by_its_position_whatever_stands_before_it(tmp_path):
    _, path = sharded(tmp_path)
    dataset = opened(path)
    number = next(number for number, sample in enumerate(dataset.annotation) if len(sample.images) == 3)
    sample, store = dataset.annotation[number], dataset.store
    contents, decoded = store.contents(number), list(store.decoded(number, sample))
    place = store.index.places[number]
    overwrite(store.index.files[place.shard].path, place.images[1].offset, b"?")
    for position in (0, 2):
        assert store.content(number, position) == contents[position]
        assert store.image(number, sample, position).tobytes() == decoded[position].tobytes()
    with pytest.raises(DamagedSampleError, match="image 2's checksum"):
        store.image(number, sample, 1)
    with pytest.raises(DamagedSampleError, match="image 2's checksum"):
        list(store.decoded(number, sample))


def test_a_shard_that_vanished_is_an_error_that_names_it(tmp_path):
    _, path = sharded(tmp_path)
    dataset = opened(path)
    (path / "000000.tar").unlink()
    with pytest.raises(SamDataError, match=r"000000\.tar: cannot be read any more") as caught:
        dataset[0]
    assert not isinstance(caught.value, DamagedSampleError)


def test_a_shard_that_was_cut_off_since(tmp_path):
    _, path = sharded(tmp_path)
    dataset = opened(path)
    (path / "000000.tar").write_bytes(b"")
    with pytest.raises(DamagedSampleError, match="image 1 was cut off"):
        dataset[0]


def test_a_decompression_bomb_is_refused_with_the_limit(tmp_path):
    bomb = Image.new("1", (30_000, 30_000))
    bomb.save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    write_shards([MultiImageSample(1, ("bomb.png",), "What?", "Boom.", ("Boom.",), "")], tmp_path, tmp_path / "out")
    with pytest.raises(DamagedSampleError, match=r"sample 1 .*900000000 pixels.* limit of 178956970"):
        opened(tmp_path / "out")[0]


PNG_START = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(("start", "message"), [(b"", "has 67108864 bytes and is no image"), (PNG_START, "cannot be")])
def test_images_that_are_holes_of_a_sparse_file_take_little_memory(tmp_path, start, message):
    path = tar_with_holes(tmp_path / "t.tar", 12, 64 * 2**20, start)
    assert path.stat().st_blocks * 512 < 2**20 < path.stat().st_size
    with limited_memory(250):
        dataset = opened(path)
        for index in range(12):
            with pytest.raises(DamagedSampleError, match=rf"sample {index} .*image 1 {message}"):
                dataset[index]
        assert len(scan_shards([path], check="full").problems) == 12


def test_images_of_one_sample_are_decoded_one_by_one(tmp_path):
    """Each of six takes 64 MiB."""
    names = tuple(f"{number}.png" for number in range(6))
    for name in names:
        Image.new("RGB", (4096, 4096)).save(tmp_path / name)
    sample = MultiImageSample(1, names, "What?", "No.", ("No.",), "")
    write_shards([sample], tmp_path, tmp_path / "out")
    with limited_memory(200):
        for dataset in (opened(tmp_path / "out"), MultiImageDataset([sample], FolderImages(tmp_path))):
            dataset.set_processors(lambda image: torch.full((3, 1, 1), image.width), str)
            assert dataset[0]["image"].shape == (3, 6, 1, 1)


def test_a_file_of_another_format_is_no_image(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.png", "w") as file:
        file.writestr("a", "b")
    write_shards([MultiImageSample(1, ("x.png",), "What?", "No.", ("No.",), "")], tmp_path, tmp_path / "out")
    with pytest.raises(DamagedSampleError, match="image 1 cannot be read as an image"):
        opened(tmp_path / "out")[0]
