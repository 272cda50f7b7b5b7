"""`make benchmarks` runs every benchmark of the CPU; each says how it is used, and writes where it is asked to."""

import re
import runpy
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
COMMANDS = sorted(
    path.name
    for path in (REPOSITORY / "benchmarks").glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)


def run_by_make():
    """Benchmark -> the file of results that `make benchmarks` has it write."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    rule = re.search(r"^benchmarks: \$\(READY\)\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    lines = re.findall(r"benchmarks/(\w+\.py)\b.* --out \$\(RESULTS\)/(\w+\.json)$", rule[1], re.MULTILINE)
    assert len(lines) == rule[1].count("\n")
    return dict(lines)


def test_make_runs_every_benchmark_but_that_of_the_gpu():
    written = run_by_make()
    assert sorted([*written, "gpu.py"]) == COMMANDS
    assert len(COMMANDS) > 10
    assert len(set(written.values())) == len(written)


def test_every_result_that_is_committed_is_written_by_make():
    committed = {path.name for path in (REPOSITORY / "benchmarks" / "results").glob("*.json")}
    assert {name for name in committed if not name.startswith("gpu_")} <= set(run_by_make().values())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_shows_its_help(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "benchmarks" / name), run_name="__main__")
    assert ended.value.code == 0
    assert "--out" in capsys.readouterr().out
