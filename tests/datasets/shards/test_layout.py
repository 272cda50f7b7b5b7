"""The files that a path of shards stands for, by its manifest or without one."""

import json

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
