"""Files of cases that are missing or broken."""

import pytest

from lavis_sam.errors import SamCheckpointError, SamDataError
from lavis_sam.parity.report import run_folder

pytestmark = pytest.mark.parity


def test_every_missing_file_is_named_at_once(folder):
    (folder / "case_A_weights.safetensors").unlink()
    (folder / "tok" / "vocab.txt").unlink()
    (folder / "case_Z.json").write_text("{}")
    with pytest.raises(SamDataError) as error:
        run_folder(folder)
    for name in ("case_A_weights.safetensors", "case_Z_io.safetensors", "case_Z_weights.safetensors", "tok/vocab.txt"):
        assert name in str(error.value)
    assert "case_A.json" not in str(error.value)


@pytest.mark.parametrize(("content", "words"), [("{", "not JSON"), ("[1]", "found a list")])
def test_broken_settings_are_named(folder, content, words):
    (folder / "case_A.json").write_text(content)
    with pytest.raises(SamDataError, match=rf"case_A\.json: {words}"):
        run_folder(folder)


def test_broken_tensors_are_named(folder):
    path = folder / "case_A_io.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SamCheckpointError, match=r"case_A_io\.safetensors: this is no readable checkpoint"):
        run_folder(folder)


def test_a_folder_without_cases_is_an_error(tmp_path):
    with pytest.raises(SamDataError, match="no case in this folder"):
        run_folder(tmp_path)
    with pytest.raises(SamDataError, match="no such folder"):
        run_folder(tmp_path / "none")
