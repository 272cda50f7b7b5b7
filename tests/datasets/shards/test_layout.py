"""The files that a path of shards stands for, by its manifest or without one."""

import bz2
import gzip
import json
import lzma

import pytest

from helpers.shards import contents, opened, sharded
from lavis_sam.datasets.shards import index_shards
from lavis_sam.datasets.shards.layout import MANIFEST
from lavis_sam.errors import SamDataError


@pytest.fixture
def shards(tmp_path):
    return sharded(tmp_path)


def test_without_a_manifest_all_tar_files_of_the_folder_count(shards):
    samples, path = shards
    (path / MANIFEST).unlink()
    assert contents(opened(path).annotation) == contents(samples)


PACKERS = {"gz": ("gunzip", gzip.compress), "bz2": ("bunzip2", bz2.compress), "xz": ("unxz", lzma.compress)}


@pytest.mark.parametrize("name", ["000000.tar.gz", "000000.tgz", "000000.tar.bz2", "000000.txz", "000000.tar"])
@pytest.mark.parametrize("of_folder", [False, True])
def test_shard_files_refuses_compressed_shards_and_says_how_to_unpack_them(shards, name, of_folder):
    _, path = shards
    (path / MANIFEST).unlink()
    kind = {"tgz": "gz", "txz": "xz", "tar": "gz"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    program, compress = PACKERS[kind]
    packed = compress((path / "000000.tar").read_bytes())
    (path / "000000.tar").unlink()
    (path / name).write_bytes(packed)
    with pytest.raises(SamDataError, match=rf"{name}: found a compressed.*\(`{program} .*storage: pipe:{program} -c"):
        opened(path if of_folder else path / name)


def test_shard_files_passes_over_compressed_shards_that_lie_there_unpacked_as_well(shards):
    samples, path = shards
    (path / MANIFEST).unlink()
    for shard in path.glob("*.tar"):
        shard.with_name(f"{shard.name}.gz").write_bytes(gzip.compress(shard.read_bytes()))
    assert contents(opened(path).annotation) == contents(samples)


def test_shard_files_reads_a_tar_file_that_is_only_called_compressed(shards):
    samples, path = shards
    (path / MANIFEST).unlink()
    for shard in path.glob("*.tar"):
        shard.rename(shard.with_suffix(".tgz"))
    assert contents(opened(path).annotation) == contents(samples)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ("[]", "shards: found None"),
        ("{}", "shards: found None"),
        ('{"shards": []}', r"shards: found \[\]"),
        ('{"shards": ["x.tar"]}', r"shards\[0\]: found 'x.tar', wanted file, samples, bytes, sha256"),
        ("not json", "not JSON"),
        *(
            (json.dumps({"shards": [{"file": file, "samples": 1, "bytes": 1, "sha256": ""}]}), "wanted a .tar below")
            for file in ("/etc/passwd.tar", "../x.tar", "a/../../x.tar", "x.zip", "x\0.tar")
        ),
        ('{"shards": [{"file": "gone.tar", "samples": 1, "bytes": 1, "sha256": ""}]}', "there is no file"),
        ('{"shards": [{"file": "link.tar", "samples": 1, "bytes": 1, "sha256": ""}]}', "there is no file"),
    ],
)
def test_wrong_manifests(tmp_path, manifest, complaint):
    (tmp_path / "link.tar").symlink_to("/etc/passwd")
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(SamDataError, match=complaint):
        index_shards([tmp_path])


def test_a_folder_without_shards_is_an_error(tmp_path):
    with pytest.raises(SamDataError, match=r"found neither manifest\.json nor a \.tar file"):
        index_shards([tmp_path])
