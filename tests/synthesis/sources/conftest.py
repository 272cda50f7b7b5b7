"""A folder of groups, as its owner would lay it out."""

import json

import pytest
from PIL import Image

from helpers.source_folders import RECORDS, save


@pytest.fixture
def own(tmp_path):
    for name in ("a/1.png", "a/2 ü.PNG", "b/1.png", "b/2.png"):
        save(tmp_path / name)
    mask = Image.new("L", (80, 100))
    mask.paste(255, (20, 20, 60, 80))
    mask.save(tmp_path / "a/1_mask.png")
    (tmp_path / "manifest.jsonl").write_bytes(
        b"\xef\xbb\xbf" + "\r\n".join(json.dumps(record) for record in RECORDS).encode() + b"\r\n\r\n"
    )
    return tmp_path
