import hashlib
import json
import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.files import (
    atomic_path,
    leaves_root,
    numbered_lines,
    read_json,
    sha256_of,
    storage_path,
    to_json,
    write_bytes,
    write_json,
    write_safetensors,
    write_shard,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_bytes_and_json_are_written_as_they_are(tmp_path):
    write_text(tmp_path / "a.txt", "één\r\nline")
    write_bytes(tmp_path / "b.bin", b"\x00\xff")
    write_json(tmp_path / "new" / "folder" / "c.json", {"å": [1, 2.5, None, True]})
    assert (tmp_path / "a.txt").read_bytes() == "één\r\nline".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    text = (tmp_path / "new" / "folder" / "c.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"å": [1, 2.5, None, True]}
    assert "å" in text
    assert text.endswith("}\n")
    assert names(tmp_path) == ["a.txt", "b.bin", "new"]


@dataclass
class Row:
    path: Path
    values: np.ndarray


def test_json_of_paths_arrays_tensors_and_data_classes():
    row = Row(Path("/x/y"), np.arange(2))
    obj = {"row": row, "scalar": np.float32(0.5), "tensor": torch.tensor([1, 2]), "count": torch.tensor(3)}
    assert json.loads(to_json(obj)) == {
        "row": {"path": "/x/y", "values": [0, 1]},
        "scalar": 0.5,
        "tensor": [1, 2],
        "count": 3,
    }
    assert to_json([1, 2], indent=None) == "[1, 2]"


@pytest.mark.parametrize("value", [math.nan, math.inf, torch.tensor([math.nan]), {1, 2}, object(), Row])
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with pytest.raises(SamDataError, match=r"metrics\.json: .*convert the value"):
        write_json(path, {"value": value})
    assert path.read_text() == "old"
    assert names(tmp_path) == ["metrics.json"]


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "data.txt"
    write_text(path, "old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["data.txt"]


def test_the_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "data.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent
        assert not path.exists()
        assert list(tmp_path.glob("*.txt")) == []
    assert path.read_text() == "whole"


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "data.txt"):
        pass
    assert caught.value.filename == str(tmp_path / "data.txt"), "not the temporary name"
    assert names(tmp_path) == []


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(SamConfigurationError, match="is a device or a pipe"):
            write_text(tmp_path / name, "text")
    assert (tmp_path / "pipe").is_fifo()


def test_symbolic_links_permissions_and_long_names(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    mask = os.umask(0)
    os.umask(mask)
    assert real.stat().st_mode & 0o777 == 0o666 & ~mask
    long = tmp_path / ("ü" * 120 + ".txt")
    write_text(long, "x")
    assert long.read_text() == "x"


def test_writers_at_the_same_time_leave_one_whole_file(tmp_path):
    path = tmp_path / "shared.txt"
    contents = [str(i) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=write_text, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in contents
    assert names(tmp_path) == ["shared.txt"]


def test_tensors_are_written_as_safetensors(tmp_path):
    matrix = torch.arange(6.0).reshape(2, 3)
    write_safetensors(tmp_path / "a.safetensors", {"view": matrix.T, "again": matrix}, {"kind": "test"})
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("view"), matrix.T)
        assert file.metadata() == {"kind": "test"}
    write_text(tmp_path / "a.txt", "")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "a.txt").stat().st_mode
    assert names(tmp_path) == ["a.safetensors", "a.txt"]


@pytest.mark.parametrize("path", ["/a", "/", "..", "../a", "a/..", "a/../b", "a/b/../../..", "./../a"])
def test_leaves_root_says_yes_to_paths_that_climb_or_are_absolute(path):
    assert leaves_root(path)


@pytest.mark.parametrize("path", ["a", "a/b.png", "./a", "..a", "a..", "a/..b/c", "...", "", "ä b/猫.JPG"])
def test_leaves_root_says_no_to_paths_that_stay(path):
    assert not leaves_root(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "unreadable file: No such file"),
        (b"{", "not JSON: Expecting property name"),
        (b"[" * 100_000, "not JSON: .*recursion"),
        ('"\u00e9"'.encode("latin-1"), "not UTF-8: byte 1"),
        (b"[1, 2]", "found a list, wanted an object"),
        (b" " * 40 + b"{}", "file too large: found 42 bytes, wanted at most 30"),
    ],
)
def test_read_json_says_what_is_wrong_and_what_to_do(tmp_path, content, complaint):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    most = 30 if b" " * 40 in (content or b"") else None
    with pytest.raises(SamCheckpointError, match=rf"a\.json: {complaint}.*Fetch it again\."):
        read_json(path, remedy="Fetch it again.", error=SamCheckpointError, wanted=dict, most_bytes=most)


def test_read_json_takes_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json", remedy="") == [1]


def test_read_lines_with_numbers_and_ends(tmp_path):
    (tmp_path / "a").write_bytes(b"1\r\n\n\xff\n345")
    assert list(numbered_lines(tmp_path / "a", remedy="", most_bytes=3)) == [
        (1, b"1\r\n"),
        (2, b"\n"),
        (3, b"\xff\n"),
        (4, b"345"),
    ]
    (tmp_path / "a").write_bytes(b"1\n234\n")
    with pytest.raises(SamDataError, match=r"a:2: found a line of more than 3 bytes\. Mend it\."):
        list(numbered_lines(tmp_path / "a", remedy="Mend it.", most_bytes=3))


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_storage_path_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage_path("data/annotations.json") == tmp_path / "data" / "annotations.json"
    assert storage_path("/data") == Path("/data")


def test_shard_has_the_bytes_that_webdataset_writes(tmp_path):
    from webdataset import TarWriter

    members = [
        ("000000", "json", b"{}"),
        ("000000", "0.jpg", b"x" * 700),
        ("000001", "json", b""),
        ("a/b", "txt", b"a"),
    ]
    with (tmp_path / "theirs.tar").open("wb") as file:
        writer = TarWriter(file, user="", group="", mode=0o644, mtime=0, encoder=False)
        for key, name, content in members:
            writer.write({"__key__": key, name: content})
        writer.close()
    written = write_shard(tmp_path / "ours.tar", members)
    ours, theirs = ((tmp_path / f"{name}.tar").read_bytes() for name in ("ours", "theirs"))
    assert ours == theirs
    assert written == {"bytes": len(theirs), "sha256": hashlib.sha256(theirs).hexdigest()}
