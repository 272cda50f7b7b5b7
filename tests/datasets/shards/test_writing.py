"""Shards are bounded, always the same bytes, whole, and an interrupted run goes on."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.digests import folder_digests
from helpers.shards import contents, opened, write_images
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards import index_shards, write_shards, writing
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.datasets.shards.layout import MANIFEST
from lavis_sam.errors import SamConfigurationError, SamDataError

SMALL = 32 * 1024


@pytest.fixture
def source(tmp_path):
    return write_images(tmp_path / "pictures"), tmp_path / "pictures"


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_manifest_tells_the_truth(source, tmp_path):
    samples, root = source
    manifest = write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL)
    assert json.loads((tmp_path / "out" / MANIFEST).read_text()) == manifest
    assert (manifest["samples"], manifest["pictures"]) == (10, sum(len(sample.images) for sample in samples))
    names = [entry["file"] for entry in manifest["shards"]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*names, MANIFEST])
    assert sum(entry["samples"] for entry in manifest["shards"]) == 10
    for entry in manifest["shards"]:
        data = (tmp_path / "out" / entry["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.lists(st.integers(0, 9000), min_size=1, max_size=3), min_size=1, max_size=12), text=st.text())
def test_shards_are_bounded_and_hold_everything(tmp_path_factory, sizes, text):
    folder = tmp_path_factory.mktemp("bounded")
    text = text.encode("utf-8", "ignore").decode() + "."
    samples = []
    for number, parts in enumerate(sizes):
        for k, size in enumerate(parts):
            (folder / f"{number}-{k}").write_bytes(os.urandom(size))
        images = tuple(f"{number}-{k}" for k in range(len(parts)))
        samples.append(MultiImageSample(number, images, text, text, (text,), ""))
    limit = 64 * 1024
    manifest = write_shards(samples, folder, folder / "out", shard_bytes=limit)
    assert all(entry["bytes"] <= limit for entry in manifest["shards"])
    # no shard could have taken the next one's first sample as well, give or take tar's padding
    assert len(manifest["shards"]) <= 1 + sum(map(sum, sizes)) // 10_000
    index = index_shards([folder / "out"])
    assert contents(index.report.samples) == contents(samples)
    for number, sample in enumerate(samples):
        assert ShardImages(index).contents(number) == [(folder / name).read_bytes() for name in sample.images]


def test_the_same_bytes_wherever_and_whenever(source, tmp_path):
    samples, root = source
    write_shards(samples, root, tmp_path / "one", shard_bytes=SMALL)
    for path in root.rglob("*.*"):
        os.utime(path, (1, 1))
    write_shards([replace(s, source="elsewhere") for s in samples], root, tmp_path / "two", shard_bytes=SMALL)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_webdataset_reads_them(source, tmp_path):
    samples, root = source
    write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL)
    paths = [str(path) for path in sorted((tmp_path / "out").glob("*.tar"))]
    found = list(webdataset.WebDataset(paths, shardshuffle=False))
    assert [json.loads(entry["json"])["output"] for entry in found] == [sample.output for sample in samples]
    assert found[1]["1.png"] == (root / samples[1].images[0]).read_bytes()
    assert found[1]["2.jpg"] == (root / samples[1].images[1]).read_bytes()


def test_members_carry_nothing_of_the_machine(source, tmp_path):
    samples, root = source
    write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL)
    with tarfile.open(tmp_path / "out" / "000000.tar") as tar:
        for member in tar:
            found = (member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode)
            assert found == (0, 0, 0, "", "", 0o644)


class InterruptedRunError(Exception):
    pass


def interrupt(monkeypatch, after):
    """Let the run die when shard number `after` is about to be written."""
    write = writing._write_shard

    def dying(folder, name, *rest):
        if name == f"{after:06d}.tar":
            raise InterruptedRunError
        return write(folder, name, *rest)

    monkeypatch.setattr(writing, "_write_shard", dying)


def test_an_interrupted_run_goes_on(source, tmp_path, monkeypatch):
    samples, root = source
    write_shards(samples, root, tmp_path / "whole", shard_bytes=SMALL)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(InterruptedRunError):
            write_shards(samples, root, out, shard_bytes=SMALL)
    assert not (out / MANIFEST).exists()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert sorted(before) == ["000000.tar", "000001.tar"]
    (out / ".000002.tar.99-aaaa.tmp").write_bytes(b"half a shard")
    done = []
    write_shards(samples, root, out, shard_bytes=SMALL, progress=done.append)
    assert files(out) == files(tmp_path / "whole")
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert done[-1] == 10
    assert done == sorted(done)


@pytest.mark.parametrize("harm", ["a shard changed", "a shard is gone", "the last line is torn", "a line is no object"])
def test_only_whole_shards_are_kept(source, tmp_path, monkeypatch, harm):
    samples, root = source
    write_shards(samples, root, tmp_path / "whole", shard_bytes=SMALL)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(InterruptedRunError):
            write_shards(samples, root, out, shard_bytes=SMALL)
    if harm == "a shard changed":
        (out / "000000.tar").write_bytes((out / "000000.tar").read_bytes()[:-1] + b"!")
    elif harm == "a shard is gone":
        (out / "000000.tar").unlink()
    else:
        progress = out / writing.PROGRESS
        first, *further = progress.read_bytes().splitlines(keepends=True)
        further = [b"[]\n"] if "object" in harm else [*further[:-1], further[-1][:-9]]
        progress.write_bytes(b"".join([first, *further]))
    write_shards(samples, root, out, shard_bytes=SMALL)
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.parametrize("change", ["samples", "pictures", "size"])
def test_an_interrupted_run_of_something_else_is_refused(source, tmp_path, monkeypatch, change):
    samples, root = source
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(InterruptedRunError):
            write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL)
    size = SMALL
    if change == "samples":
        samples = [*samples[:-1], replace(samples[-1], output="Something else.")]
    elif change == "pictures":
        os.utime(root / samples[0].images[0], (1, 1))
    else:
        size = 2 * SMALL
    with pytest.raises(SamDataError, match="interrupted run with other samples, images or settings"):
        write_shards(samples, root, tmp_path / "out", shard_bytes=size)
    write_shards(samples, root, tmp_path / "out", shard_bytes=size, overwrite=True)
    write_shards(samples, root, tmp_path / "whole", shard_bytes=size)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


SCRIPT = """
import sys, time
from pathlib import Path
from helpers.shards import write_images
from lavis_sam.datasets.shards import writing
from lavis_sam.datasets.annotations import read_annotations
root, out = map(Path, sys.argv[1:])
samples = read_annotations(root / "annotations.json", root)
write = writing._write_shard
def slow(*args):
    time.sleep(0.05)
    return write(*args)
writing._write_shard = slow
writing.write_shards(samples, root, out, shard_bytes=32 * 1024)
"""


@pytest.mark.integration
def test_killed_runs_go_on_to_the_same_bytes(tmp_path):
    from lavis_sam.datasets.annotations import write_annotations

    root = tmp_path / "pictures"
    samples = write_images(root, 30)
    write_annotations(root / "annotations.json", samples)
    write_shards(samples, root, tmp_path / "whole", shard_bytes=SMALL)
    out = tmp_path / "out"
    command = [sys.executable, "-c", SCRIPT, str(root), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for delay in (0.0, 0.02, 0.04, 0.06):
        before = len(list(out.glob("*.tar")))
        process = subprocess.Popen(command, env=environment)
        while process.poll() is None and len(list(out.glob("*.tar"))) == before:
            time.sleep(0.002)
        time.sleep(delay)
        assert process.poll() is None, "the run ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (out / MANIFEST).exists()
    subprocess.run(command, env=environment, check=True)
    assert files(out) == files(tmp_path / "whole")


def test_a_finished_folder_is_not_written_again(source, tmp_path):
    samples, root = source
    write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL)
    before = files(tmp_path / "out")
    with pytest.raises(SamDataError, match=r"found 000000\.tar.*--overwrite"):
        write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL)
    assert files(tmp_path / "out") == before
    write_shards(samples[:2], root, tmp_path / "out", shard_bytes=SMALL, overwrite=True)
    assert contents(opened(tmp_path / "out").annotation) == contents(samples[:2])


def test_overwriting_leaves_other_files_alone(source, tmp_path):
    samples, root = source
    (tmp_path / "out").mkdir()
    for name in ("notes.txt", "old.tar"):
        (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(SamDataError, match=r"found notes\.txt, old\.tar, wanted a new or empty folder"):
        write_shards(samples, root, tmp_path / "out")
    write_shards(samples, root, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == (tmp_path / "out" / "old.tar").read_text() == "mine"


def test_a_sample_larger_than_a_shard_is_an_error(source, tmp_path):
    samples, root = source
    with pytest.raises(SamDataError, match=r"sample 's/0': record and images need \d+ bytes, wanted at most"):
        write_shards(samples, root, tmp_path / "out", shard_bytes=12 * 1024)
    assert not (tmp_path / "out").exists()


def test_a_missing_image_is_an_error_before_anything_is_written(source, tmp_path):
    samples, root = source
    (root / samples[3].images[0]).unlink()
    with pytest.raises(SamDataError, match=r"sample 3: .*bild 3-0\.png cannot be read"):
        write_shards(samples, root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_image_that_vanishes_meanwhile_leaves_no_half_shard(source, tmp_path, monkeypatch):
    samples, root = source
    plan = writing._plan

    def planned(*arguments):
        found = plan(*arguments)
        (root / samples[-1].images[0]).unlink()
        return found

    monkeypatch.setattr(writing, "_plan", planned)
    with pytest.raises(SamDataError, match=r"sample 9: .* cannot be read"):
        write_shards(samples, root, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [writing.PROGRESS]


def test_no_samples_make_a_manifest_that_says_so(tmp_path):
    manifest = write_shards([], tmp_path, tmp_path / "out")
    assert (manifest["samples"], manifest["shards"]) == (0, [])
    with pytest.raises(SamDataError, match=r"shards: found \[\]"):
        opened(tmp_path / "out")


def test_a_refused_folder_keeps_everything(source, tmp_path):
    """Also what looks like a leftover of ours: another program may be writing it."""
    samples, root = source
    out = tmp_path / "out"
    out.mkdir()
    (out / ".photo.jpg.7-ab.tmp").write_bytes(b"half a photo")
    (out / "photo.jpg").write_bytes(b"a photo")
    before = folder_digests(out)
    with pytest.raises(SamDataError, match=r"found .*photo\.jpg"):
        write_shards(samples, root, out, shard_bytes=SMALL)
    assert folder_digests(out) == before


def test_two_at_once_are_refused(source, tmp_path):
    samples, root = source
    refused = []

    def meanwhile(done):
        for overwrite in (False, True):
            with pytest.raises(SamConfigurationError, match="another process is working in this folder") as caught:
                write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL, overwrite=overwrite)
            refused.append(caught.value)

    write_shards(samples, root, tmp_path / "out", shard_bytes=SMALL, progress=meanwhile)
    assert refused
    write_shards(samples, root, tmp_path / "whole", shard_bytes=SMALL)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
