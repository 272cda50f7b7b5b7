"""Any bytes as a shard: its samples as they were written, with every loss named, or our error."""

import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzzing import damaged, fuzz_settings, limited_memory
from helpers.shards import contents, opened, sharded
from lavis_sam.datasets.guarded import Unusable
from lavis_sam.datasets.shards import archive, scan_shards
from lavis_sam.datasets.shards.archive import Member
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.datasets.shards.stream import ShardStream
from lavis_sam.errors import SamDataError

COUNT = 6
KINDS = [b"0", b"\0", b"x", b"g", b"L", b"K", b"5", b"7", b"2", b"S"]
CONTENTS = [b"20 path=other.json\n", b"9 size=7\n", b"22 GNU.sparse.major=1\n"]


def pixels(image):
    return torch.from_numpy(np.array(image.resize((2, 2))))


class Pipe:
    """A file that can only be read forwards, a little at a time, as a network gives it."""

    def __init__(self, file):
        self.file = file

    def read(self, size):
        return self.file.read(min(size, 700))


def read_members(path, *, as_pipe=False):
    with open(path, "rb", buffering=0) as file:
        yield from archive.read_members(Pipe(file) if as_pipe else file, str(path))


@st.composite
def blocks(draw):
    """Members with odd fields, some with right checksums, which is where a tar reader goes wrong."""
    info = tarfile.TarInfo(draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)))
    info.type = draw(st.sampled_from(KINDS))
    content = draw(st.one_of(st.binary(max_size=700), st.sampled_from(CONTENTS)))
    info.size = draw(st.one_of(st.just(len(content)), st.integers(0, 2**34)))
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))[:512]
    if draw(st.booleans()):
        for _ in range(draw(st.integers(0, 4))):
            header[draw(st.integers(0, 511))] = draw(st.integers(0, 255))
        if draw(st.booleans()):
            header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    return bytes(header) + content + bytes(-len(content) % 512)


@given(members=st.lists(blocks(), min_size=1, max_size=4), end=st.sampled_from([0, 512, 1024]))
@fuzz_settings(120)
def test_any_headers_give_members_or_our_error(tmp_path, members, end):
    path = tmp_path / "t.tar"
    path.write_bytes(b"".join(members) + bytes(end))
    try:
        with limited_memory(200):
            entries = list(read_members(path))
            assert entries == list(read_members(path, as_pipe=True))
    except SamDataError:
        return
    for entry in entries:
        if isinstance(entry, Member):
            assert 0 <= entry.offset <= entry.offset + entry.size <= path.stat().st_size
            assert ".." not in entry.name.split("/")
            assert not entry.name.startswith("/")


@pytest.fixture(scope="module")
def specimen(tmp_path_factory):
    """Samples by id, the bytes of their shard, and a folder."""
    folder = tmp_path_factory.mktemp("specimen")
    samples, path = sharded(folder, count=COUNT, shard_bytes=2**20)
    return {str(sample.id): sample for sample in samples}, (path / "000000.tar").read_bytes(), folder


@given(data=st.data())
@fuzz_settings(60)
def test_any_damage_of_a_shard_leaves_whole_samples_and_is_named(specimen, data):
    originals, whole, folder = specimen
    shard = folder / "fuzzed.tar"
    shard.write_bytes(data.draw(damaged(whole)))
    try:
        with limited_memory(200):
            dataset = opened(shard)
    except SamDataError:
        return
    report = dataset.store.index.report
    assert len(dataset) == COUNT or report.problems
    assert len(dataset) <= COUNT
    unread = 0
    for index, sample in enumerate(dataset.annotation):
        assert contents([sample]) == contents([originals[str(sample.id)]])
        try:
            found = ShardImages(dataset.store.index).contents(index)
            dataset.images(index)
        except SamDataError:
            unread += 1
            continue
        assert found == [(folder / "pictures" / name).read_bytes() for name in sample.images]
    scanned = scan_shards([shard], check="full")
    assert len(scanned.samples) == len(dataset) - unread


@given(data=st.data())
@fuzz_settings(40)
def test_any_damage_of_a_streamed_shard_leaves_whole_samples_and_is_named(specimen, data):
    originals, whole, folder = specimen
    shard = folder / "streamed.tar"
    shard.write_bytes(data.draw(damaged(whole)))
    place = data.draw(st.sampled_from([str(shard), f"pipe:cat {shard}"]))
    with limited_memory(200):
        items = list(ShardStream([place], pixels, samples=COUNT))
    lost = [item for item in items if isinstance(item, Unusable)]
    found = [item for item in items if not isinstance(item, Unusable)]
    assert {str(item["sample_id"]) for item in found} == set(originals) or lost
    for item in found:
        original = originals[str(item["sample_id"])]
        assert (item["text_input"], item["text_output"]) == (original.instruction, original.output)
        assert item["image"].shape[1] == len(original.images)
    assert all(item.problem for item in lost)
