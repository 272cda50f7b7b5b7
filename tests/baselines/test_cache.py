import json

import pytest
from PIL import Image

from lavis_sam.baselines import cache as module
from lavis_sam.baselines.cache import AnswerCache, key_of

RED, BLUE = (Image.new("RGB", (4, 3), colour) for colour in ("red", "blue"))
KEY = key_of({"model": "m"}, "What?", (RED, BLUE))


def test_what_was_put_is_there(tmp_path):
    cache = AnswerCache(tmp_path / "cache")
    assert cache.is_empty
    assert cache.get(KEY) is None
    cache.put(KEY, "Ein Hund – ☂", {"finish_reason": "stop"})
    assert not cache.is_empty
    assert AnswerCache(tmp_path / "cache").get(KEY) == "Ein Hund – ☂"
    (file,) = (tmp_path / "cache").rglob("*.json")
    assert json.loads(file.read_text("utf-8"))["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "other",
    [
        key_of({"model": "n"}, "What?", (RED, BLUE)),
        key_of({"model": "m"}, "What", (RED, BLUE)),
        key_of({"model": "m"}, "What?", (BLUE, RED)),
        key_of({"model": "m"}, "What?", (RED,)),
        key_of({"model": "m"}, "What?", (RED, Image.new("RGB", (3, 4), "blue"))),
    ],
)
def test_everything_counts(other):
    assert other != KEY


def test_the_order_of_settings_does_not():
    assert key_of({"a": 1, "b": 2}, "x", ()) == key_of({"b": 2, "a": 1}, "x", ())


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"text": "x"}', b"\xff", b'{"key": "other", "text": "x"}', b"[" * 10**5]
)
def test_a_damaged_entry_is_asked_for_again(tmp_path, damage, caplog):
    cache = AnswerCache(tmp_path)
    cache.put(KEY, "x", {})
    next(tmp_path.rglob("*.json")).write_bytes(damage)
    assert cache.get(KEY) is None
    assert "asked again" in caplog.text
    cache.put(KEY, "y", {})
    assert cache.get(KEY) == "y"


def test_a_huge_entry_is_not_read(tmp_path, monkeypatch):
    cache = AnswerCache(tmp_path)
    cache.put(KEY, "x" * 100, {})
    monkeypatch.setattr(module, "MAX_BYTES", 50)
    assert cache.get(KEY) is None
