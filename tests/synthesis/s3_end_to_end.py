"""A data set on s3://: `s3fs` and an S3 service on loopback (moto's server); run by `make test-s3`.

Not collected by default: its packages live in an environment of their own.
"""

import subprocess
import sys

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from helpers.environments import REPOSITORY
from helpers.synthesis import folder_digest
from helpers.synthesis_runs import NUM, SEED, SPOILED, make_until_killed, settings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import write_json
from lavis_sam.synthesis.remote_copy import MARK, check_address, copy_dataset
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner
from lavis_sam.synthesis.shares import Share, make_share, merge_shares

URL = "s3://bucket/sets/mmlink"
# A process that copies eight files at a time and is killed by the system when the third eight are to be sent.
KILLED = """
import os, signal, sys
from s3fs import S3FileSystem
from lavis_sam.synthesis import remote_copy
remote_copy._AT_A_TIME, left, put = 8, [2], S3FileSystem.put
def dying(self, *arguments, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, *arguments, **options)
S3FileSystem.put = dying
from pathlib import Path
remote_copy.copy_dataset(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(scope="module")
def server():
    found = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    found.start()
    yield "http://{}:{}".format(*found.get_host_and_port())
    found.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """The file system of an empty store with one bucket; nothing of this machine's own account is seen."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.mkdir("bucket")
    yield system
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.rm("bucket", recursive=True)
    assert system.ls("") == [], "no test makes a bucket"


def read_back(system, folder):
    """What a second machine gets, without the mark."""
    system.invalidate_cache()
    system.get(URL, str(folder), recursive=True)
    (folder / MARK).unlink()
    return folder_digest(folder)


def wanted(root):
    return {name: digest for name, digest in folder_digest(root).items() if not name.startswith(".")}


def test_a_run_and_a_copy_that_were_killed_leave_the_bytes_of_a_whole_run(finished, s3, tmp_path, monkeypatch):
    root = tmp_path / "set"
    make_until_killed(monkeypatch, root, 5)
    runner = SerialRunner()
    synthesize(settings(SPOILED), root, num=NUM, seed=SEED, runner=runner, resume=True)
    done = subprocess.run([sys.executable, "-c", KILLED, root, URL], cwd=REPOSITORY, check=False)
    assert done.returncode == -9
    begun = s3.find(URL)
    assert len(begun) == 1 + 16
    assert not s3.exists(f"{URL}/manifest.json")
    for name in begun[:3]:
        assert s3.info(name)["size"] > 0
    sent = copy_dataset(root, URL)
    assert sent == len(wanted(root)) - 16
    assert read_back(s3, tmp_path / "back") == wanted(finished)
    assert copy_dataset(root, URL) == 0


def test_merged_shares_are_copied_and_read_back_as_one_run(finished, s3, tmp_path):
    root, runner = tmp_path / "set", SerialRunner()
    for index in (1, 2):
        make_share(settings(SPOILED), root, Share(2, index), num=NUM, seed=SEED, runner=runner)
    merge_shares(settings(SPOILED), root, num=NUM, seed=SEED, runner=runner)
    copy_dataset(root, URL)
    assert read_back(s3, tmp_path / "back") == wanted(finished)


def test_the_command_copies_and_copies_nothing_twice(s3, tmp_path, run):
    write_json(tmp_path / "fakes.yaml", SPOILED)
    words = ("synthesize", "--out", tmp_path / "set", "--num", 3, "--config", tmp_path / "fakes.yaml", "--workers", 0)
    code, _, err = run(*words, "--copy-to", URL)
    assert code == 0, err
    assert read_back(s3, tmp_path / "back") == wanted(tmp_path / "set")
    code, _, err = run(*words, "--resume", "--copy-to", URL)
    assert (code, f"{URL}: 0 files copied" in err) == (0, True)


def test_another_data_set_in_the_bucket_is_never_mixed_with(finished, s3):
    s3.pipe_file(f"{URL}/images/other.jpg", b"x")
    with pytest.raises(SamConfigurationError, match="holds another data set"):
        copy_dataset(finished, URL)
    assert s3.find(URL) == ["bucket/sets/mmlink/images/other.jpg"]


@pytest.mark.parametrize("url", ["s3://absent/mmlink", "s3://"])
def test_a_bucket_that_is_not_there_is_refused_and_not_made(finished, s3, url):
    for refusing in (lambda: check_address(url), lambda: copy_dataset(finished, url)):
        with pytest.raises(SamConfigurationError, match="wanted an address in a bucket that is there"):
            refusing()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("AWS_ACCESS_KEY_ID", None, "NoCredentials"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "EndpointConnection")],
)
def test_no_key_and_no_service_are_one_clear_line(s3, monkeypatch, run, tmp_path, name, value, message):
    with monkeypatch.context() as patch:
        patch.setenv(name, value) if value else patch.delenv(name)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        code, _, err = run("synthesize", "--out", tmp_path / "set", "--num", 2, "--workers", 0, "--copy-to", URL)
    assert code == 2
    assert f"--copy-to: {URL}: {message}" in err
    assert "Traceback" not in err
    assert not (tmp_path / "set").exists(), "refused before anything is made"
