"""Every command and every piece of Python in README.md runs, in the order in which a newcomer meets them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import endpoint_server
from helpers.benchmarks import write_benchmarks
from helpers.releases import MINIATURES
from helpers.vision_language import write_instructblip, write_llava

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.strip().splitlines()]
# CI runs these two themselves, on a fresh clone, before and around this test.
RUN_BY_CI = ("make demo", "make test")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A folder that looks like the clone, with the running environment's commands first on the path."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("projects", "benchmarks", "lavis_sam", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return folder, {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


def run(command, newcomer):
    folder, environment = newcomer
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_ci_runs_the_two_commands():
    assert [command for command in COMMANDS if command.startswith("make")] == list(RUN_BY_CI)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(command.split()[1] in re.findall(r"\w[\w-]*", script) for command in RUN_BY_CI)


@pytest.mark.integration
@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in RUN_BY_CI])
def test_commands_run(command, newcomer):
    run(["bash", "-c", command], newcomer)


@pytest.mark.integration
@pytest.mark.parametrize("code", [block for kind, block in BLOCKS if kind == "python"])
def test_python_runs(code, newcomer):
    assert run([sys.executable, "-W", "ignore", "-c", code], newcomer).strip()


def marked(name):
    """The commands between the markers of this name: those that need what a newcomer has to bring."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)^```\n<!-- /{name} -->", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md: wants commands between <!-- {name} --> and <!-- /{name} -->"
    return found[1]


@pytest.mark.integration
def test_a_release_is_converted(newcomer):
    folder, environment = newcomer
    home = folder / "release"
    home.mkdir()
    MINIATURES["spot_the_diff"](home)
    said = run(["sh", "-euc", marked("convert")], (home, environment))
    assert "data/spot_the_diff" in said


@pytest.mark.integration
def test_other_models_answer(newcomer):
    folder, environment = newcomer
    models = folder / "models"
    write_llava(models / "llava-interleave")
    write_instructblip(models / "instructblip")
    data = write_benchmarks(folder / "miniatures")
    with endpoint_server.running() as service:
        service.otherwise = lambda body: endpoint_server.said("a red dog runs")
        brought = {
            "MODELS": str(models),
            "DATA": str(data),
            "URL": service.url,
            "OPENAI_API_KEY": "sk-1",
            "OMP_NUM_THREADS": "1",
        }
        said = run(["sh", "-euc", marked("baselines")], (folder, {**environment, **brought}))
        assert service.requests
    rows = [line.split(" | ")[1] for line in said.splitlines() if line.startswith("| measured")]
    assert set(rows) == {"llava", "instructblip", "gpt-4o"}


def test_the_annotation_example_is_one():
    (example,) = [block for kind, block in BLOCKS if kind == "json"]
    (sample,) = json.loads(example)
    assert sample.keys() == {"id", "img_list", "instruction", "output"}


def test_every_link_leads_somewhere():
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    text = prose + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links
    headings = {"#" + heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    assert not [link for link in links if link not in headings and not (ROOT / link).exists()]


def test_quoted_figures_are_the_committed_ones():
    """The table under Speed is what benchmarks/results/visual_path_cpu.json says."""
    results = json.loads((ROOT / "benchmarks" / "results" / "visual_path_cpu.json").read_text())["results"]
    rows = re.findall(r"^\| (\d+) \| (forward(?: \+ backward)?) \| ([\d.]+) \| ([\d.]+) \|$", README, re.MULTILINE)
    assert len(rows) == len(results) > 0
    for (count, what, loop, unguided), result in zip(rows, results, strict=True):
        assert (int(count), "backward" in what) == (result["N"], result["backward"])
        assert float(loop) == round(result["loop_over_ours"]["median"], 2)
        assert float(unguided) == round(result["unguided_over_ours"]["median"], 2)
