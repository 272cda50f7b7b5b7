"""The folder of a cache: what comes back, what a killed run leaves, and what is refused."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from helpers.features import features, store
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import write_safetensors

NO_ERROR = dict.fromkeys(("squared_error", "squared", "largest_error"), "0")


@pytest.fixture
def filled(tmp_path):
    cache = store(tmp_path)
    cache.begin()
    cache.add(["a", "b", "c"], features())
    cache.refresh()
    return cache


def shard_of(cache):
    (path,) = cache.folder.glob("part-*.safetensors")
    return path


def test_store_gives_back_what_was_added(filled):
    for row, key in enumerate("abc"):
        assert torch.equal(filled.load(key), features()[row])
    assert [key in filled for key in ("a", "d")] == [True, False]
    assert len(filled) == 3
    again = store(filled.folder)
    assert torch.equal(again.load("b"), features()[1])
    assert torch.equal(pickle.loads(pickle.dumps(again)).load("b"), features()[1])


def test_store_sees_what_another_process_added(filled):
    other = store(filled.folder)
    filled.add(["d"], features(1, seed=1))
    assert "d" not in other
    other.refresh()
    assert torch.equal(other.load("d"), features(1, seed=1)[0])


def test_store_reads_views_of_the_mapped_file(filled):
    filled.load("a")
    (tensors,) = filled._open.values()
    # The storage is the whole file: one mapping, from which rows are taken.
    assert tensors["features"].untyped_storage().nbytes() >= 3 * 5 * 4 * 4
    assert str(shard_of(filled)) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_store_keeps_its_error_beside_the_features(tmp_path, precision):
    cache = store(tmp_path, precision=precision)
    cache.begin()
    cache.add(["a", "b", "c"], features())
    again = store(tmp_path, precision=precision)
    exact = features()
    found = torch.stack([again.load(key).float() for key in "abc"])
    assert again.error.relative == pytest.approx(float((found - exact).norm() / exact.norm()), rel=1e-4)
    assert 0 < again.error.largest == pytest.approx(float((found - exact).abs().max()))


def test_store_goes_on_after_a_killed_run(filled):
    left = filled.folder / ".part-00.safetensors.123-ab.tmp"
    left.write_bytes(b"half")
    again = store(filled.folder)
    assert len(again) == 3
    again.begin()
    assert not left.exists()


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_store_refuses_a_shard_that_was_cut_off(filled, size):
    path = shard_of(filled)
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(SamDataError, match=r"part-.*was cut off.*Remove this file"):
        store(filled.folder)
    path.unlink()
    assert len(store(filled.folder)) == 0


@pytest.mark.parametrize(
    ("tensors", "about", "message"),
    [
        ({"features": torch.zeros(1, 5, 4)}, None, "no shard of a feature cache"),
        ({"features": torch.zeros(1, 5, 4)}, {"keys": "[1]"}, "no shard of a feature cache"),
        ({"features": torch.zeros(1, 5, 4)}, {"keys": "[1]", **NO_ERROR}, "no list of texts"),
        ({"features": torch.zeros(2, 5, 4)}, {"keys": '["a"]', **NO_ERROR}, "wanted {'features': \\[1, 5, 4"),
        ({"features": torch.zeros(1, 5, 4).half()}, {"keys": '["a"]', **NO_ERROR}, "F16"),
        ({"other": torch.zeros(1, 5, 4)}, {"keys": '["a"]', **NO_ERROR}, "holds {'other'"),
    ],
)
def test_store_refuses_a_foreign_shard(filled, tensors, about, message):
    write_safetensors(filled.folder / "part-ff.safetensors", tensors, about)
    with pytest.raises(SamDataError, match=message):
        store(filled.folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "v" * 64}, "weights of the vision encoder are wwwwwwwwwwww…, this run's vvvvvvvvvvvv…"),
        ({"precision": "fp16"}, "its precision is 'fp32', this run's 'fp16'"),
        ({"patches": 9}, "its patches is 5, this run's 9"),
        ({"transforms": {"own/train": "u"}}, "its transform of own/train is t, this run's u"),
    ],
)
def test_store_refuses_a_cache_of_something_else(filled, changes, message):
    before = sorted(path.name for path in filled.folder.iterdir())
    with pytest.raises(SamConfigurationError, match=message):
        store(filled.folder, **changes)
    assert sorted(path.name for path in filled.folder.iterdir()) == before


def test_store_takes_further_data_sets(filled):
    store(filled.folder, transforms={"more/eval": "e"}).begin()
    assert json.loads((filled.folder / "cache.json").read_text())["transforms"] == {"own/train": "t", "more/eval": "e"}
    assert len(store(filled.folder)) == 3


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1, "weights": 3}', "[" * 100000])
def test_store_refuses_a_damaged_manifest(filled, content):
    (filled.folder / "cache.json").write_text(content)
    with pytest.raises(SamDataError, match=r"cache\.json"):
        store(filled.folder)


def test_store_refuses_a_folder_of_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SamConfigurationError, match=r"holds files and no cache\.json"):
        store(tmp_path)


def test_store_names_what_is_not_there(filled):
    with pytest.raises(SamDataError, match="no features d"):
        filled.load("d")
    again = store(filled.folder)
    shard_of(filled).unlink()
    with pytest.raises(SamDataError, match="part-"):
        again.load("a")
