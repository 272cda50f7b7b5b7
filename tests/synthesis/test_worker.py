"""Parts of a run: a full disk and damage."""

import errno
import os

import pytest

from helpers.synthesis import folder_digest
from helpers.synthesis_runs import SPOILED, make, make_until_killed
from lavis_sam import files


def test_a_damaged_part_is_made_again(finished, tmp_path, monkeypatch):
    root = tmp_path / "set"
    make_until_killed(monkeypatch, root, 30)
    parts = sorted((root / "work" / "parts").iterdir())
    parts[0].write_text(parts[0].read_text()[:-40])
    next((root / "images").rglob("*.jpg")).unlink()
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)


def test_a_full_disk_is_one_clear_error_and_keeps_what_is_finished(finished, tmp_path, monkeypatch):
    root = tmp_path / "set"
    replace, left = os.replace, [25]

    def full(source, destination):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(destination))
        replace(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(OSError, match="No space left on device"):
            make(root, SPOILED)
    assert len(list((root / "work" / "parts").iterdir())) >= 2
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)
