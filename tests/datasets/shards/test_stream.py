"""`ShardStream`: shards from anywhere, split by process and worker, shuffled by seed, continued at the exact sample."""

import functools
import gzip
import http.server
import io
import json
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
import webdataset
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Resize, ToTensor

from helpers.fuzzing import limited_memory
from helpers.shards import offset_of, overwrite, sharded, tar_with_holes
from lavis_sam.datasets.guarded import Unusable
from lavis_sam.datasets.shards.stream import ShardStream
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import expand_storage

TENSOR = Compose([Resize((4, 4)), ToTensor()])


def jpeg(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (shade, 90, 200 - shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def written_by_the_library(folder, shards=4, each=3):
    """Shards as LAVIS's users have them: written by webdataset alone, nothing of ours in them."""
    folder.mkdir(exist_ok=True)
    with webdataset.ShardWriter(str(folder / "set-%06d.tar"), maxcount=each, verbose=0) as writer:
        for number in range(shards * each):
            writer.write(
                {
                    "__key__": f"s{number:03d}",
                    "0.jpg": jpeg(number),
                    "1.jpg": jpeg(2 * number),
                    "json": json.dumps({"caption": f"Answer {number}."}).encode(),
                }
            )
    return f"{folder}/set-{{000000..{shards - 1:06d}}}.tar"


def stream(storage, **options):
    return ShardStream(expand_storage(storage), TENSOR, prompt="What do they share?", **options)


def ids(items):
    return [item["sample_id"] for item in items if not isinstance(item, Unusable)]


def test_stream_reads_what_the_library_alone_wrote(tmp_path):
    items = list(stream(written_by_the_library(tmp_path / "set")))
    assert len(items) == 12
    assert {item["text_output"] for item in items} == {f"Answer {number}." for number in range(12)}
    assert {item["text_input"] for item in items} == {"What do they share?"}
    assert all(item["image"].shape == (3, 2, 4, 4) for item in items)


@pytest.mark.parametrize("opener", ["", "pipe:cat "])
def test_stream_passes_over_the_holes_of_a_sparse_file_in_little_memory(tmp_path, opener):
    path = tar_with_holes(tmp_path / "t.tar", 12, 64 * 2**20)
    with limited_memory(250):
        items = list(stream(f"{opener}{path}", samples=12))
    assert len(items) == 12
    assert all(isinstance(item, Unusable) and item.tolerated for item in items)
    assert sum("'007.1.png' has 67108864 bytes" in item.problem for item in items) == bool(opener)


@pytest.mark.parametrize(
    "url", ["https://nowhere.test/x.tar.gz", "https://nowhere.test/x.tgz?key=1", "s3://b/x.tar.xz"]
)
def test_stream_refuses_compressed_shards_and_names_a_command(tmp_path, url):
    with pytest.raises(
        SamConfigurationError, match=r"found a compressed tar file.*`pipe:curl -sL .* \| (gunzip|unxz) -c"
    ):
        stream(url, samples=12)
    path = Path(written_by_the_library(tmp_path / "set", shards=1).replace("{000000..000000}", "000000"))
    packed = tmp_path / "x.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(SamDataError, match=r"found a compressed tar file.*pipe:gunzip -c .*x\.tar\.gz`"):
        stream(str(packed))
    assert len(ids(stream(f"pipe:gunzip -c {packed}", samples=3))) == 3


def test_stream_leaves_large_images_on_the_disk_until_their_turn(tmp_path):
    path = tar_with_holes(tmp_path / "t.tar", 12, 64 * 2**20, b"\x89PNG\r\n\x1a\n")
    with limited_memory(250):
        items = list(stream(str(path)))
    assert sum("image 1 cannot be read as an image" in item.problem for item in items) == 12


def test_stream_reads_large_images_with_small_ones_beside_them(tmp_path, monkeypatch):
    wanted = {item["sample_id"]: item for item in stream(written_by_the_library(tmp_path / "set"))}
    monkeypatch.setattr("lavis_sam.datasets.shards.stream.LARGE_BYTES", len(jpeg(5)))
    items = list(stream(written_by_the_library(tmp_path / "set")))
    assert len(items) == len(wanted) == 12
    assert all(item["image"].equal(wanted[item["sample_id"]]["image"]) for item in items)


def test_stream_order_depends_on_seed_and_epoch_alone(tmp_path):
    storage = written_by_the_library(tmp_path / "set")
    first, again, other = stream(storage, shuffle_buffer=5), stream(storage, shuffle_buffer=5), stream(storage, seed=1)
    orders = [ids(first), ids(again), ids(other)]
    assert orders[0] == orders[1] != orders[2]
    first.set_epoch(1)
    assert ids(first) != orders[0]
    assert sorted(ids(first)) == sorted(orders[0])


@pytest.mark.parametrize(("ranks", "workers"), [(1, 0), (2, 0), (1, 2), (2, 2)])
def test_stream_shares_are_everything_once(tmp_path, ranks, workers):
    storage = written_by_the_library(tmp_path / "set")
    found = []
    for rank in range(ranks):
        share = stream(storage)
        share.split(rank, ranks, max(1, workers))
        found += ids(DataLoader(share, batch_size=None, num_workers=workers))
    assert sorted(found) == sorted(ids(stream(storage)))
    assert len(set(found)) == 12


def test_stream_goes_on_at_the_exact_sample_from_any_position(tmp_path):
    storage = written_by_the_library(tmp_path / "set")
    whole = stream(storage, shuffle_buffer=5)
    order, positions = [], []
    for item in whole:
        order.append(item["sample_id"])
        positions.append(whole.state_dict())
    for taken, position in enumerate(positions, start=1):
        rest = stream(storage, shuffle_buffer=5)
        rest.load_state_dict(json.loads(json.dumps(position)))
        assert ids(rest) == order[taken:]


def test_stream_needs_a_shard_for_each_worker(tmp_path):
    few = stream(written_by_the_library(tmp_path / "set", shards=3))
    with pytest.raises(SamConfigurationError, match=r"found 3 shard\(s\) for 2 process\(es\) with 2 worker\(s\)"):
        few.split(0, 2, 2)


def test_stream_tells_of_every_damaged_sample(tmp_path):
    samples, folder = sharded(tmp_path)
    path = sorted(folder.glob("*.tar"))[-1]
    overwrite(path, offset_of(path, "000000009.1.png") + 40, b"??")
    items = list(ShardStream([str(folder)], TENSOR))
    assert len(ids(items)) == len(samples) - 1
    (damage,) = [item for item in items if isinstance(item, Unusable)]
    assert "CRC-32" in str(damage.problem)


def test_stream_tells_where_a_shard_is_cut_off(tmp_path):
    storage = written_by_the_library(tmp_path / "set", shards=1, each=6)
    path = tmp_path / "set" / "set-000000.tar"
    path.write_bytes(path.read_bytes()[:8000])
    items = list(stream(storage, samples=6))
    assert 0 < len(ids(items)) < 6
    assert any(isinstance(item, Unusable) and str(path) in str(item.problem) for item in items)


def test_stream_refuses_shards_without_a_sample(tmp_path):
    tarfile.open(tmp_path / "empty.tar", "w").close()
    with pytest.raises(SamDataError, match="wanted at least one"):
        ShardStream([str(tmp_path / "empty.tar")])


def test_stream_reads_a_pipe(tmp_path):
    written_by_the_library(tmp_path / "set")
    piped = ShardStream(
        expand_storage(f"pipe:cat {tmp_path}/set/set-{{000000..000003}}.tar"), TENSOR, samples=12, prompt="?"
    )
    assert sorted(item["text_output"] for item in piped) == sorted(f"Answer {number}." for number in range(12))


def test_stream_tells_of_a_pipe_that_fails():
    """Whether the shell ends before or after its output is read."""
    found = list(ShardStream(["pipe:exit 3"], samples=1))
    assert all(isinstance(unusable, Unusable) and "pipe:exit 3" in unusable.problem for unusable in found)
    assert [unusable.tolerated for unusable in found].count(False) == 1


def test_stream_finds_members_again_behind_one_that_lies_about_its_size(tmp_path):
    storage = written_by_the_library(tmp_path / "set", shards=1, each=4)
    path = tmp_path / "set" / "set-000000.tar"
    with tarfile.open(path) as tar:
        header = tar.getmember("s001.1.jpg")
        lie = tarfile.TarInfo(header.name)
    lie.size = 1
    overwrite(path, header.offset, lie.tobuf(tarfile.USTAR_FORMAT))
    items = list(stream(storage, samples=4, shuffle_buffer=1))
    assert [f"s{number:03d}" for number in (0, 2, 3)] == [name.rpartition("/")[2] for name in ids(items)]
    assert any(isinstance(item, Unusable) and item.tolerated for item in items)


def test_stream_goes_on_behind_a_shard_without_samples(tmp_path):
    storage = written_by_the_library(tmp_path / "set")
    tarfile.open(tmp_path / "set" / "set-000001.tar", "w").close()
    (tmp_path / "set" / "set-000002.tar").write_bytes(b"")
    items = list(stream(storage))
    assert len(ids(items)) == 6
    (unusable,) = [item for item in items if isinstance(item, Unusable)]  # no tar at all
    assert "set-000002.tar" in unusable.problem


def test_stream_reads_http(tmp_path):
    written_by_the_library(tmp_path / "set")
    handler = functools.partial(Quiet, directory=str(tmp_path / "set"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/set-{{000000..000003}}.tar"
        found = ids(ShardStream(expand_storage(url), TENSOR, samples=12, prompt="?"))
        server.shutdown()
    assert len(set(found)) == 12


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that logs nothing."""

    def log_message(self, *args):
        pass


def test_stream_wants_to_know_how_many_remote_samples_there_are():
    with pytest.raises(SamConfigurationError, match=r"build_info\.samples"):
        ShardStream(["https://example.invalid/a.tar"])


def test_stream_names_a_file_system_that_is_not_installed():
    with pytest.raises(SamConfigurationError, match="nowhere://"):
        ShardStream(["nowhere://bucket/a.tar"], samples=1)


def test_shards_of_ours_are_read_by_webdataset_alone(tmp_path):
    """A process that imports nothing of this package."""
    samples, folder = sharded(tmp_path)
    code = (
        "import glob, io, json, sys, webdataset\n"
        "from PIL import Image\n"
        f"urls = sorted(glob.glob({str(folder)!r} + '/*.tar'))\n"
        "records = list(webdataset.WebDataset(urls, shardshuffle=False))\n"
        "for record in records:\n"
        "    count = len(json.loads(record['json'])['img_list'])\n"
        "    images = [key for key in record if key.split('.')[0].isdigit()]\n"
        "    assert len(images) == count\n"
        "    for key in images: Image.open(io.BytesIO(record[key])).load()\n"
        "assert not any(name.startswith('lavis_sam.datasets') for name in sys.modules)\n"
        "print(len(records))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(samples)
