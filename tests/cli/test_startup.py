"""What each command imports: neither PyTorch nor LAVIS before it needs them. (Never a matter of the clock.)"""

import subprocess
import sys

import pytest

from helpers.command_line import REPOSITORY, TINY

PHOTOGRAPHS = str(REPOSITORY / "lavis_sam" / "assets" / "photographs")
HEAVY = ("torch", "lavis", "transformers", "torchvision")
_CODE = """
import sys
from lavis_sam.cli import main
sys.argv = ["lavis-sam", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print("exit code", end.code)
print("loaded", sorted(set({heavy}) & set(sys.modules)))
"""


def loaded(folder, *arguments):
    """The exit code's line, if there is one, and the heavy libraries that a command has loaded."""
    command = [sys.executable, "-c", _CODE.format(heavy=HEAVY), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    return done.stdout.splitlines()[-2:], done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the shards of the photographs and the log of a run."""
    folder = tmp_path_factory.mktemp("startup")
    (folder / "log.jsonl").write_text('{"event": "train", "step": 1, "loss": 2.0, "lr": 0.1}\n' * 2)
    said, stderr = loaded(folder, "data", "shards", PHOTOGRAPHS, "shards")
    assert said[0] == "exit code 0", stderr
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["config", "--cfg-path", TINY],
        ["config", "--cfg-path", TINY, "--data", PHOTOGRAPHS],
        ["plot", "log.jsonl"],
        ["table", "--table", "4"],
        ["data", "validate", PHOTOGRAPHS],
        ["data", "validate", "shards"],
        ["data", "preview", PHOTOGRAPHS, "--out", "preview.html"],
        ["data", "preview", "shards", "--out", "preview.html"],
        ["data", "shards", PHOTOGRAPHS, "packed"],
        ["data", "shards", "shards", "again", "--unpack"],
        ["data", "stats", PHOTOGRAPHS],
        ["data", "stats", "shards", "--json"],
        ["data", "split", "again"],
        ["data", "convert", "mmlink", "--annotations", PHOTOGRAPHS, "--images", PHOTOGRAPHS, "--out", "converted"],
        ["data", "export", "mantis", PHOTOGRAPHS, "--out", "mantis.json"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_command_loads_neither_pytorch_nor_lavis(folder, command):
    said, stderr = loaded(folder, *command)
    assert said == ["exit code 0", "loaded []"], stderr


def test_plugin_hook_that_every_start_of_python_loads_imports_nothing():
    code = "import sys; before = set(sys.modules); import lavis_sam; print(sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); {code}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "['lavis_sam', 'lavis_sam.plugin', 'lavis_sam.plugin.hook']", done.stderr


def test_caption_checks_its_images_without_pytorch(folder):
    said, stderr = loaded(folder, "caption", PHOTOGRAPHS + "/*.jpg", "gone.jpg")
    assert said == ["exit code 2", "loaded []"]
    assert "gone.jpg: there is no such file" in stderr
