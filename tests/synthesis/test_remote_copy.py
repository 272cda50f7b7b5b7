"""A copy on fsspec's file system in memory, and on the local one: whole, continued, never mixed."""

import shutil

import fsspec
import pytest

from helpers.synthesis import folder_digest
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.remote_copy import MARK, check_address, copy_dataset


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


def content(system, target):
    return {name.removeprefix(f"{target}/"): system.cat_file(name) for name in system.find(target)}


def files(root):
    return {name: (root / name).read_bytes() for name in folder_digest(root) if not name.startswith(".lock")}


def test_every_file_is_there_and_a_second_copy_sends_nothing(finished, memory):
    sent = copy_dataset(finished, "memory://bucket/set")
    found = content(memory, "/bucket/set")
    found.pop(MARK)
    assert found == {name: data for name, data in files(finished).items() if name in found}
    assert {"manifest.json", "annotations.json", "samples.jsonl", "shards/000000.tar"} <= set(found)
    assert sum(name.startswith("images/") for name in found) == 28
    assert sent == len(found)
    assert copy_dataset(finished, "memory://bucket/set/") == 0


def test_a_copy_that_ended_early_has_no_manifest_and_goes_on(finished, memory, monkeypatch):
    put, left = memory.put, [2]

    def failing(sources, targets, **options):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the network is gone")
        put(sources, targets, **options)

    monkeypatch.setattr("lavis_sam.synthesis.remote_copy._AT_A_TIME", 8)
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "put", lambda self, *arguments, **options: failing(*arguments, **options))
        with pytest.raises(OSError, match="network is gone"):
            copy_dataset(finished, "memory://bucket/set")
    assert not memory.exists("/bucket/set/manifest.json")
    begun = len(content(memory, "/bucket/set")) - 1
    assert begun == 16
    half = next(name for name in memory.find("/bucket/set") if name.endswith(".jpg"))
    memory.pipe_file(half, b"half")
    sent = copy_dataset(finished, "memory://bucket/set")
    found = content(memory, "/bucket/set")
    assert sent == len(found) - 1 - begun + 1, "the half file is sent again"
    assert memory.cat_file(half) != b"half"
    assert found["manifest.json"] == (finished / "manifest.json").read_bytes()


@pytest.mark.parametrize("name", [MARK, "images/other.jpg"])
def test_another_data_set_is_never_mixed_with(finished, memory, name):
    memory.pipe_file(f"/bucket/set/{name}", b"0" * 64)
    with pytest.raises(SamConfigurationError, match="holds another data set"):
        copy_dataset(finished, "memory://bucket/set")
    assert len(memory.find("/bucket/set")) == 1


def test_a_folder_by_its_address_is_a_copy_too(finished, tmp_path):
    copy_dataset(finished, f"file://{tmp_path / 'copy'}")
    (tmp_path / "copy" / MARK).unlink()
    shutil.rmtree(tmp_path / "copy" / "shards")
    assert set(folder_digest(tmp_path / "copy").items()) < set(folder_digest(finished).items())


@pytest.mark.parametrize("url", ["bucket/set", "nothing://bucket/set"])
def test_an_address_without_a_file_system_is_refused(url):
    with pytest.raises(SamConfigurationError, match=f"--copy-to: found '{url}'"):
        check_address(url)


class NoKeyError(Exception):
    """Of a client's own."""


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (NoKeyError("no credentials"), SamConfigurationError, "memory://bucket/set: NoKeyError: no credentials"),
        (PermissionError("no right"), PermissionError, "no right"),
        (TypeError("ours"), TypeError, "ours"),
    ],
)
def test_a_client_s_own_error_becomes_one_of_ours_and_no_other(finished, memory, monkeypatch, error, raised, message):
    def failing(self, *arguments, **options):
        raise error

    monkeypatch.setattr(type(memory), "exists", failing)
    with pytest.raises(raised, match=message):
        copy_dataset(finished, "memory://bucket/set")


@pytest.mark.parametrize("url", ["s3://bucket/set", "gs://bucket", "s3://"])
def test_a_bucket_that_is_not_there_is_refused_and_not_made(memory, monkeypatch, url):
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (memory, url.partition("://")[2]))
    with pytest.raises(SamConfigurationError, match="in a bucket that is there"):
        check_address(url)
    assert not memory.find("/")
    if url != "s3://":
        memory.makedirs("/bucket")
        check_address(url)


def test_an_unfinished_data_set_is_not_copied(tmp_path, memory):
    with pytest.raises(SamDataError, match="wanted a finished data set"):
        copy_dataset(tmp_path, "memory://bucket/set")
    assert not memory.exists("/bucket")
