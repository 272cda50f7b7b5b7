"""Every command and piece of Python in README.md and its pages runs, in the order in which a newcomer meets them."""

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
# README.md first, and then the pages that it links.
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "docs/training.md",
        "docs/data.md",
        "docs/tables.md",
        "docs/synthesis/README.md",
        "docs/speed.md",
    )
}
README = PAGES["README.md"]
BLOCKS = [
    block for page in PAGES.values() for block in re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
]
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
    whole = "\n".join(PAGES.values())
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)^```\n<!-- /{name} -->", whole, re.MULTILINE | re.DOTALL)
    assert found, f"README.md and its pages: want commands between <!-- {name} --> and <!-- /{name} -->"
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


def headings(text):
    return {
        "#" + re.sub(r"[^\w -]", "", found.lower()).replace(" ", "-") for found in re.findall(r"^#+ (.+)$", text, re.M)
    }


def test_the_tests_that_the_page_of_faults_names_exist():
    """A name without a folder is in that of the name before it in the same cell."""
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    cells = [line.rsplit("|", 2)[1] for line in text.splitlines() if re.match(r"\| ([A-H]|30)", line)]
    assert len(cells) > 50
    for cell in cells:
        folder = ""
        for found in re.findall(r"`([\w/.]+)`", cell):
            name = found
            if "/" in name:
                folder, name = name.rsplit("/", 1)
            place = ROOT / "tests" / folder / name
            assert place.exists() or (ROOT / "tests" / name).exists(), f"{cell}: {name}"


OTHERS = (
    "CONTRIBUTING.md",
    *(f"docs/{name}.md" for name in ("faults", "evaluators", "serving", "synthesis/backends", "api", "keys")),
    *(f"docs/{name}.md" for name in ("guidance", "install", "troubleshooting")),
)


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_every_link_leads_somewhere(page):
    """To a file beside the page, and to a heading that is there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if not link.startswith("http")]
    for link in links:
        file, hash_, heading = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert not hash_ or f"#{heading}" in headings(target.read_text(encoding="utf-8")), f"{page}: {link}"


def test_readme_is_short_has_contents_and_leads_to_every_page():
    assert len(README.splitlines()) <= 170
    contents = re.findall(r"\]\(#([\w-]+)\)", README[: README.index("\n## ")])
    assert {f"#{name}" for name in contents} == headings(README) - {"#lavis_sam"}
    for page in list(PAGES)[1:]:
        assert f"({page})" in README


@pytest.mark.integration
def test_quoted_gpu_memory_is_what_a_plan_says(newcomer):
    plan = json.loads(run(["lavis-sam", "plan", "--cfg-path", "projects/sam/train.yaml", "--json"], newcomer))
    found = re.search(r"A GPU needs ([\d.]+) GiB to generate .* and ([\d.]+) GiB to train", README)
    for quoted, kind in zip(found.groups(), ("generation", "training"), strict=True):
        assert float(quoted) == pytest.approx(plan["memory"][kind] / 2**30, abs=0.01)


def test_quoted_figures_are_the_committed_ones():
    """The table of docs/speed.md is what benchmarks/results/visual_path_cpu.json says."""
    results = json.loads((ROOT / "benchmarks" / "results" / "visual_path_cpu.json").read_text())["results"]
    rows = re.findall(
        r"^\| (\d+) \| (forward(?: \+ backward)?) \| ([\d.]+) \| ([\d.]+) \|$", PAGES["docs/speed.md"], re.MULTILINE
    )
    assert len(rows) == len(results) > 0
    for (count, what, loop, unguided), result in zip(rows, results, strict=True):
        assert (int(count), "backward" in what) == (result["N"], result["backward"])
        assert float(loop) == round(result["loop_over_ours"]["median"], 2)
        assert float(unguided) == round(result["unguided_over_ours"]["median"], 2)
