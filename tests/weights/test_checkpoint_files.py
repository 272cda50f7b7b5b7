import pickle

import pytest
import torch
from safetensors.torch import save_file

from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.checkpoint_files import load_file, read_checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}


def assert_state(found):
    assert list(found) == list(STATE)
    for name, tensor in STATE.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "module"])
@pytest.mark.parametrize("archive", [True, False])
def test_pth_files_of_any_age_and_wrapping_are_read(tmp_path, wrapper, archive):
    path = tmp_path / "weights.pth"
    obj = STATE if wrapper is None else {wrapper: STATE, "epoch": 3, "config": {"name": "x"}}
    torch.save(obj, path, _use_new_zipfile_serialization=archive)
    assert_state(read_checkpoint(path))


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path):
    for name in ("weights.safetensors", "weights.bin"):
        save_file(STATE, tmp_path / name)
        assert_state(read_checkpoint(tmp_path / name))


def test_the_prefix_of_data_parallel_training_is_taken_off(tmp_path):
    torch.save({"model": {f"module.{name}": tensor for name, tensor in STATE.items()}}, tmp_path / "a.pth")
    assert_state(read_checkpoint(tmp_path / "a.pth"))
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "b.pth")
    assert list(read_checkpoint(tmp_path / "b.pth")) == ["module.a", "b"]


@pytest.mark.parametrize(
    "form",
    [
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.{}",
        "module.module.{}",
        "_fsdp_wrapped_module.{}",
        "module._fsdp_wrapped_module._orig_mod.{}",
        "_checkpoint_wrapped_module.{}",
    ],
)
def test_what_wrappers_put_before_names_is_taken_out(tmp_path, form):
    torch.save({"model": {form.format(name): tensor for name, tensor in STATE.items()}}, tmp_path / "a.pth")
    assert_state(read_checkpoint(tmp_path / "a.pth"))


def test_wrappers_of_single_modules_are_taken_out_of_the_middle_of_names(tmp_path):
    state = {"a._orig_mod.weight": STATE["a.weight"], "_fsdp_wrapped_module.b": STATE["b"]}
    save_file(state, tmp_path / "a.safetensors")
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert set(found) == set(STATE)
    assert torch.equal(found["a.weight"], STATE["a.weight"])


def test_a_parameter_with_and_without_its_wrapper_is_refused(tmp_path):
    torch.save({"_orig_mod.a": torch.ones(1), "a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(SamCheckpointError, match=r"_orig_mod\.a, a are one and the same parameter, a\."):
        read_checkpoint(tmp_path / "a.pth")


def test_archives_are_mapped_not_read(tmp_path):
    torch.save({"big": torch.full((1000,), 7.0)}, tmp_path / "a.pth")
    tensor = read_checkpoint(tmp_path / "a.pth")["big"]
    with (tmp_path / "a.pth").open("r+b") as file:
        sevens = torch.full((1000,), 7.0).numpy().tobytes()
        file.seek(file.read().index(sevens))
        file.write(torch.ones(1).numpy().tobytes())
    assert tensor[:2].tolist() == [1, 7]


class Payload:
    """What an attacker would save."""

    def __reduce__(self):
        return (print, ("EXECUTED",))


@pytest.mark.parametrize("raw", [True, False])
def test_code_in_a_file_is_named_and_not_run(tmp_path, capsys, raw):
    path = tmp_path / "evil.pth"
    if raw:
        path.write_bytes(pickle.dumps(Payload(), protocol=2))
    else:
        torch.save({"model": STATE, "extra": Payload()}, path)
    with pytest.raises(SamCheckpointError, match=r"evil\.pth: the file asks Python to run (\w+\.)?print,") as error:
        read_checkpoint(path)
    assert "EXECUTED" not in capsys.readouterr().out
    assert "weights_only" not in str(error.value)  # torch's own advice would be to switch the protection off


def truncated(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["archive", "legacy", "safetensors"])
def test_truncated_files_are_one_clear_error(tmp_path, kind, share):
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    state = {f"layer.{i}": torch.rand(50) for i in range(20)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "archive")
    path.write_bytes(truncated(path.read_bytes(), share))
    with pytest.raises(
        SamCheckpointError, match=r"a\.(pth|safetensors): this is no readable checkpoint.*fetch it again"
    ):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        (b"these are notes, not weights", "no readable checkpoint"),
        (b"PK\x03\x04 an archive of something else", "no readable checkpoint"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{not js}", "no readable checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_files_that_are_no_checkpoint_say_what_they_are(tmp_path, content, words, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SamCheckpointError, match=words) as error:
        read_checkpoint(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(SamCheckpointError, match=r"none\.pth: No such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(SamCheckpointError, match="is a folder, a file is wanted"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ([torch.ones(2)], "holds a list"),
        (torch.ones(2), "holds a Tensor"),
        ({"epoch": 3, "lr": 0.1}, "no tensors: epoch, lr"),
        ({"model": {}}, "no entries"),
        ({"model": {"a": torch.ones(1), "name": "x"}}, "no tensors: name"),
        ({"model": {3: torch.ones(1)}}, "no tensors: a key of the type int"),
        ({("a", 2): torch.ones(1)}, "no tensors: a key of the type tuple"),
        ({"a" * 5000: 3}, f"no tensors: {'a' * 200}…;"),
    ],
)
def test_files_without_weights_say_what_they_hold(tmp_path, obj, words):
    torch.save(obj, tmp_path / "a.pth")
    with pytest.raises(SamCheckpointError, match=words):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.eye(2).to_sparse_csr(),
        lambda: torch.ones(2, 2, device="meta"),
        lambda: torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8),
    ],
)
def test_tensors_that_cannot_be_copied_whole_are_named(tmp_path, make):
    torch.save({"model": {"b": torch.ones(2, 2), "a": make()}}, tmp_path / "a.pth")
    with pytest.raises(SamCheckpointError, match=r"sparse, quantised or without numbers .*: a;"):
        read_checkpoint(tmp_path / "a.pth")


def test_load_file_gives_everything(tmp_path):
    torch.save({"model": STATE, "epoch": 3}, tmp_path / "a.pth")
    found = load_file(tmp_path / "a.pth")
    assert found["epoch"] == 3
    assert_state(found["model"])
