"""The commands of docs/install.md and docs/synthesis/backends.md run.

With few samples and two GPUs in the place of eight; nothing else is changed.
"""

import os
import subprocess
import sys

import pytest

from helpers.documentation import blocks
from lavis_sam.files import load_json

pytestmark = pytest.mark.integration
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
}
SMALLER = (
    ("0 1 2 3 4 5 6 7", "0 1"),
    ("--num 8625", "--num 2"),
)


def smaller(text):
    for large, small in SMALLER:
        text = text.replace(large, small)
    return text


def run(command, folder):
    done = subprocess.run(
        ["bash", "-euc", smaller(command)], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def of(page, kind):
    found = [block for block in blocks(f"docs/{page}") if block.kind == kind]
    assert found
    return found


def test_the_check_of_an_installation(tmp_path):
    (block,) = [block for block in blocks("docs/install.md") if block.marker == "installed"]
    for line in block.lines:
        assert "torch" in run(line, tmp_path)


def test_a_set_is_made_in_parts_as_backends_md_says(tmp_path):
    (block,) = of("synthesis/backends.md", "bash")
    (tmp_path / "my.yaml").write_text("base: mmlink\n")
    run(block.text, tmp_path)
    assert [len(load_json(tmp_path / f"data/mmlink-{part}/annotations.json")) for part in (0, 1)] == [2, 2]
