"""The commands of docs/tables.md for the paper's tables, run as they stand there on miniatures of the ten data sets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.benchmarks import write_benchmarks
from lavis_sam.predictor.load_model import load_model
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.packaged import MODEL_CONFIGS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
SECONDS = 900

pytestmark = pytest.mark.integration


def section(text):
    """What stands between the markers."""
    found = re.search(r"<!-- tables -->\n(.*?)<!-- /tables -->", text, re.DOTALL)
    assert found, "docs/tables.md: wants the section between <!-- tables --> and <!-- /tables -->"
    return found[1]


def blocks(text):
    return re.findall(r"^```sh\n(.*?)^```", section(text), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each block prints, run one after the other in a fresh folder with a tiny model in the real one's place."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "projects").symlink_to(ROOT / "projects")
    model = load_model("tiny", device="cpu")
    torch.nn.init.normal_(model.w_former.linear_c.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    save_adapter(folder / "adapter", model, model_type="tiny")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
        "MODEL": "tiny",
        "CHECKPOINT": str(folder / "adapter"),
        "DATA": str(write_benchmarks(folder / "mini")),
    }
    settings, *tables = blocks(PAGE)
    said = []
    for block in tables:
        script = f"set -eu\n{settings}{block}"
        done = subprocess.run(
            ["sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        said.append(done.stdout)
    return said


def test_there_is_a_command_for_each_table(printed):
    two, three, four = printed
    assert re.findall(r"^## Table (\w+):", two, re.MULTILINE) == ["2a", "2b"]
    assert re.findall(r"^## Table (\w+):", three, re.MULTILINE) == ["3"]
    assert re.findall(r"^## Table (\w+):", four, re.MULTILINE) == ["4"]


def test_measured_rows_stand_beside_the_published_ones_with_their_averages(printed):
    two, three, four = printed
    for text, names in ((two, ["sam", "sam"]), (three, ["base", "sam"]), (four, ["sam"])):
        rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| measured")]
        assert [row[1] for row in rows] == names
        assert "| published |" in text
        assert all(re.fullmatch(r"[\d.]+( \|)?", cell) for row in rows for cell in row[-3:])


def test_every_command_is_given_the_weights_and_data_that_must_be_brought():
    settings, *tables = blocks(PAGE)
    defaults = dict(re.findall(r"\{(\w+):=([^}]+)\}", settings))
    assert defaults["MODEL"] in MODEL_CONFIGS
    commands = [line for block in tables for line in block.splitlines() if line.startswith("lavis-sam benchmark")]
    assert len(commands) == len(tables) == 3
    assert all('--model "$MODEL"' in command and '--data "$DATA"' in command for command in commands)
    assert "must be brought" in PAGE[: PAGE.index("<!-- tables -->")]
