"""Checkpoint archives that torch reads as other numbers, or that ask for more memory than they may."""

import pickle
import zipfile

import pytest
import torch

from helpers.fuzzing import limited_memory
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.archives import check_archive, legacy_source
from lavis_sam.weights.checkpoint_files import load_file, read_checkpoint
from lavis_sam.weights.checkpoints import save_checkpoint

BIAS = torch.linspace(-0.05, 0.05, 600)
STATE = {"model": {"proj.weight": torch.arange(6.0).reshape(2, 3), "proj.bias": BIAS}, "epoch": 3}


@pytest.fixture
def saved(tmp_path):
    torch.save(STATE, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def zipped_again(path, out, compression, only=""):
    """The same archive as another program writes it; entries that do not hold `only` in their names stay stored."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            kind = compression if only in entry.filename else zipfile.ZIP_STORED
            new.writestr(entry.filename, old.read(entry), compress_type=kind)
    return out


@pytest.mark.parametrize(
    ("compression", "only", "mapped"),
    [
        (zipfile.ZIP_DEFLATED, "", False),
        (zipfile.ZIP_DEFLATED, "data/1", False),
        (zipfile.ZIP_DEFLATED, "data.pkl", False),
        (zipfile.ZIP_STORED, "", True),
    ],
)
def test_archives_that_were_zipped_again_load_as_what_was_saved(saved, tmp_path, compression, only, mapped):
    again = zipped_again(saved, tmp_path / "b.pth", compression, only)
    assert check_archive(again) is mapped
    found = read_checkpoint(again)
    assert all(torch.equal(found[name], tensor) for name, tensor in STATE["model"].items())


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_in_a_compression_that_torch_lacks_are_refused(saved, tmp_path, compression):
    with pytest.raises(SamCheckpointError, match=r"b\.pth: this is no readable checkpoint"):
        load_file(zipped_again(saved, tmp_path / "b.pth", compression))


@pytest.mark.parametrize("where", ["first number", "last number", "the names"])
def test_one_flipped_bit_is_refused_by_the_checksum_and_the_entry_is_named(saved, where):
    data = bytearray(saved.read_bytes())
    numbers = BIAS.numpy().tobytes()
    place = {
        "first number": data.index(numbers) + 3,  # sign and exponent
        "last number": data.index(numbers) + len(numbers) - 1,
        "the names": data.index(b"proj.bias"),
    }[where]
    data[place] ^= 1 << 6
    saved.write_bytes(data)
    with pytest.raises(SamCheckpointError, match=r"a\.pth: its entry 'a/data(/1|\.pkl)' is damaged .*CRC") as error:
        read_checkpoint(saved)
    assert "Fetch or copy the file again" in str(error.value)


def test_archives_that_torch_wrote_without_checksums_load(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert check_archive(tmp_path / "a.pth")
    assert torch.equal(load_file(tmp_path / "a.pth")["model"]["proj.bias"], BIAS)


def test_an_archive_that_holds_a_name_twice_is_refused(saved):
    with zipfile.ZipFile(saved, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/data/1", BIAS.neg().numpy().tobytes())
    with pytest.raises(SamCheckpointError, match="holds 'a/data/1' twice"):
        load_file(saved)


def bomb(path, entry, size):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/version", "3\n")
        with archive.open(f"a/{entry}", "w") as file:
            for _ in range(size >> 20):
                file.write(b"]" * (1 << 20))
    return path


@pytest.mark.parametrize(
    ("entry", "mebibytes", "words"),
    [
        ("data.pkl", 256, r"would unpack from \d+ to 268435458 bytes, at most \d+"),
        ("data/0", 256, r"would unpack from \d+ to 268435458 bytes, at most \d+"),
        ("data.pkl", 24, "has 25165824 bytes that are no tensors, at most 16777216"),
    ],
)
def test_archives_that_unpack_to_far_more_than_they_are_are_refused_at_once(tmp_path, entry, mebibytes, words):
    path = bomb(tmp_path / "a.pth", entry, mebibytes << 20)
    assert path.stat().st_size < 1 << 20
    with limited_memory(100), pytest.raises(SamCheckpointError, match=words):
        load_file(path)


def test_a_legacy_file_whose_pickle_is_a_bomb_is_refused(tmp_path):
    whole = pickle.dumps([0x1950A86A20F9469CFC6C, 1001], protocol=2)
    (tmp_path / "a.pth").write_bytes(whole + b"\x80\x02" + b"]" * (17 << 20))
    with limited_memory(100), pytest.raises(SamCheckpointError, match="more than 16777216 bytes that"):
        load_file(tmp_path / "a.pth")


def test_a_length_in_a_damaged_legacy_file_asks_for_no_memory(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02X" + (2**31).to_bytes(4, "little") + b"short.")
    with limited_memory(100), pytest.raises(SamCheckpointError, match=r"a\.pth: this is no readable checkpoint"):
        load_file(tmp_path / "a.pth")


def test_a_whole_legacy_file_is_read_from_the_disk(tmp_path):
    torch.save(STATE, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert legacy_source(tmp_path / "a.pth") == tmp_path / "a.pth"
    assert torch.equal(load_file(tmp_path / "a.pth")["model"]["proj.bias"], BIAS)


def test_a_checkpoint_that_did_not_reach_the_disk_whole_is_not_kept(tmp_path, monkeypatch):
    save = torch.save

    def save_badly(obj, path):
        save(obj, path)
        data = bytearray(path.read_bytes())
        data[data.index(BIAS.numpy().tobytes())] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr(torch, "save", save_badly)
    with pytest.raises(SamCheckpointError, match="could not be loaded again"):
        save_checkpoint(tmp_path / "b.pth", STATE)
    assert list(tmp_path.iterdir()) == []
