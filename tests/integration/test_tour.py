"""docs/tour.md, from its first command to its last: what it says is printed is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# In the order of the page: (kind, text).
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```", (REPOSITORY / "docs" / "tour.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)

pytestmark = pytest.mark.integration


def test_every_snippet_runs_and_prints_what_stands_below_it(tmp_path):
    (tmp_path / "projects").symlink_to(REPOSITORY / "projects")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    printed, compared = "", 0
    for kind, text in BLOCKS:
        if kind == "text":
            assert printed.rstrip() == text.rstrip()
            compared += 1
            continue
        words = ["bash", "-euc", text] if kind == "bash" else [sys.executable, "-W", "ignore", "-c", text]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        printed = done.stdout
    assert compared == 3
