"""The vendored files are those that NOTICE.md names, with licence and hash, and they are few."""

import hashlib
import re
from pathlib import Path

import pytest

import lavis_sam

FOLDER = Path(lavis_sam.__file__).parent / "assets" / "synthesis"
MOST_BYTES = 12 * 2**20


def listed():
    text = (FOLDER / "NOTICE.md").read_text("utf-8")
    rows = re.findall(r"^([0-9a-f]{64}) +(\d+)  (\S+)$", text, re.MULTILINE)
    return {name: (digest, int(size)) for digest, size, name in rows}


def present():
    return {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.is_file()}


def test_every_file_is_listed_and_every_listed_file_is_there():
    assert set(listed()) == set(present()) - {"NOTICE.md"}


def test_hashes_and_sizes_are_true():
    files = present()
    for name, (digest, size) in listed().items():
        data = files[name].read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size), name


def test_together_they_stay_small():
    assert sum(path.stat().st_size for path in present().values()) < MOST_BYTES


@pytest.mark.parametrize("kind", ["scenes", "icons", "models", "fonts"])
def test_every_kind_has_source_version_and_licence(kind):
    text = (FOLDER / "NOTICE.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith(f"| `{kind}/")]
    assert rows
    for row in rows:
        assert re.search(r"\d+\.\d+\.\d+", row), "a version"
        assert re.search(r"CC0-1\.0|MIT|Apache-2\.0|OFL-1\.1", row), "a licence"


def test_every_licence_is_enclosed():
    assert {path.name for path in (FOLDER / "licences").iterdir()} >= {
        "Apache-2.0.txt",
        "CC0-1.0.txt",
        "MIT-fluent-emoji.txt",
        "OFL-1.1.txt",
    }
