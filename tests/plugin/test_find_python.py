"""How `make` finds an interpreter."""

import os
import sys
from pathlib import Path

import pytest

from helpers.environments import REPOSITORY, run

SCRIPT = str(REPOSITORY / "tools/find_python.sh")


def fake(folder: Path, name: str, version: tuple[int, ...], *, venv: bool = True) -> None:
    """A command that answers like a Python of that version."""
    path = folder / name
    path.write_text(
        "#!/bin/sh\n"
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}\n'
        + ("" if venv else "sys.modules['ensurepip'] = None\n")
        + '$2"\n'
    )
    path.chmod(0o755)


def find(folder: Path, *arguments: str):
    """Run the script where `folder` holds the only Pythons."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    return run(["/bin/sh", SCRIPT, *arguments], cwd=folder, PATH=f"{folder}{os.pathsep}{tools}")


def test_the_user_s_own_python3_comes_first(tmp_path):
    fake(tmp_path, "python3", (3, 12, 1))
    fake(tmp_path, "python3.13", (3, 13, 0))
    assert find(tmp_path).stdout == "python3\n"


@pytest.mark.parametrize("too", [(3, 10, 9), (3, 14, 0)])
def test_a_python3_of_another_version_is_passed_over(tmp_path, too):
    fake(tmp_path, "python3", too)
    fake(tmp_path, "python3.11", (3, 11, 4))
    assert find(tmp_path).stdout == "python3.11\n"


def test_one_without_venv_is_passed_over(tmp_path):
    fake(tmp_path, "python3", (3, 11, 4), venv=False)
    fake(tmp_path, "python3.13", (3, 13, 0))
    assert find(tmp_path).stdout == "python3.13\n"


def test_the_named_one_or_none(tmp_path):
    fake(tmp_path, "python3", (3, 12, 1))
    folder = tmp_path / "with space"
    folder.mkdir()
    fake(folder, "mine", (3, 13, 0))
    assert find(tmp_path, str(folder / "mine")).stdout == f"{folder / 'mine'}\n"
    missing = find(tmp_path, "python3.11")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "python3.11: missing" in missing.stderr


def test_the_message_says_what_was_found_and_what_is_wanted(tmp_path):
    fake(tmp_path, "python3", (3, 14, 2))
    fake(tmp_path, "python3.12", (3, 12, 7), venv=False)
    failed = find(tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    for part in ("needs Python 3.11, 3.12 or 3.13", "python3: 3.14.2\n", "python3.12: 3.12.7, without venv", "PYTHON="):
        assert part in failed.stderr
