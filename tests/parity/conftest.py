import shutil
from pathlib import Path

import pytest

from helpers.parity_cases import edit_settings

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def folder(tmp_path):
    """Case A alone, without generation, which is slow."""
    for part in (".json", "_io.safetensors", "_weights.safetensors"):
        shutil.copy(FIXTURES / f"case_A{part}", tmp_path)
    shutil.copytree(FIXTURES / "tok", tmp_path / "tok")
    edit_settings(tmp_path, lambda settings: settings.pop("generate"))
    return tmp_path
