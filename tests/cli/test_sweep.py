"""`lavis-sam sweep` and `lavis-sam report` as a user calls them; the runs themselves stand in tests/integration."""

import pytest
from typer.testing import CliRunner

from helpers.command_line import REPOSITORY, call
from helpers.sweeps import write_sweep
from lavis_sam.cli import app
from lavis_sam.errors import SamConfigurationError, SamDataError

TRAIN = REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml"


@pytest.fixture
def write(tmp_path):
    def written(rows):
        path = tmp_path / "sweep.yaml"
        path.write_text(f"config: {TRAIN}\nseeds: [0, 1]\nrows: {rows}\n", encoding="utf-8")
        return str(path)

    return written


def test_a_dry_run_lists_the_runs_and_writes_nothing(write, tmp_path):
    out = tmp_path / "out"
    printed = call("sweep", write("{sam: , base: {train: false}}"), "--out", str(out), "--dry-run")
    assert printed.splitlines() == [f"{row}.seed-{seed}: to do" for seed in (0, 1) for row in ("sam", "base")]
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("{run.max_epok: 3}", r"rows\.a, train\.yaml: run: unknown key 'max_epok'"),
        ("{model.guidance.context: everyone}", r"rows\.a, train\.yaml: .*everyone"),
        ("{model.guidance.layer_k: 9}", r"rows\.a, train\.yaml: .*layer_k"),
        ("{nonsense: 1}", r"rows\.a, train\.yaml: .*nonsense"),
    ],
)
def test_a_setting_that_no_run_accepts_stops_the_sweep_before_its_first_run(write, tmp_path, options, words):
    out = tmp_path / "out"
    with pytest.raises(SamConfigurationError, match=words):
        CliRunner().invoke(
            app, ["sweep", write(f"{{good: , a: {{options: {options}}}}}"), "--out", str(out)], catch_exceptions=False
        )
    assert not out.exists()


def test_settings_of_slurm_are_pairs(write, tmp_path):
    with pytest.raises(SamConfigurationError, match=r"--slurm: found 'gpu', wanted KEY=VALUE"):
        CliRunner().invoke(
            app, ["sweep", write("{sam: }"), "--out", str(tmp_path / "o"), "--slurm", "gpu"], catch_exceptions=False
        )


def test_settings_of_slurm_are_numbers_only_in_decimal_digits(write, tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(
        "lavis_sam.experiments.executors.run_on_slurm", lambda jobs, folder, found, **_: given.update(found) or []
    )
    options = [word for pair in ("a=30", "b=²", f"c={'9' * 5000}", "d=-1") for word in ("--slurm", pair)]
    CliRunner().invoke(app, ["sweep", write("{sam: }"), "--out", str(tmp_path / "o"), *options], catch_exceptions=False)
    assert given == {"a": 30, "b": "²", "c": "9" * 5000, "d": "-1"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--devices", "0", "--jobs", "2"], "--devices 0 and --jobs: both say where runs go"),
        (["--devices", "0", "--slurm", "slurm_partition=gpu"], "--devices 0 and --slurm: both say"),
        (["--devices", "0,,1"], "--devices: found '0,,1', wanted names of GPUs"),
    ],
)
def test_a_place_for_the_runs_is_named_once(write, tmp_path, words, message):
    with pytest.raises(SamConfigurationError, match=message):
        CliRunner().invoke(
            app, ["sweep", write("{sam: }"), "--out", str(tmp_path / "o"), *words], catch_exceptions=False
        )


def test_a_report_is_written_and_printed(tmp_path):
    write_sweep(tmp_path)
    assert call("report", str(tmp_path)) == f"wrote {tmp_path / 'report.html'}\n"
    assert call("report", str(tmp_path), "--json") == (tmp_path / "report.json").read_text(encoding="utf-8") + "\n"
    with pytest.raises(SamDataError, match=r"found no sweep\.json"):
        CliRunner().invoke(app, ["report", str(tmp_path / "absent")], catch_exceptions=False)


@pytest.mark.parametrize(("name", "rows"), [("table3", 12), ("figure5", 10), ("readings", 10)])
def test_every_run_of_the_shipped_sweeps_would_start(tmp_path, name, rows):
    file = REPOSITORY / "projects" / "sam" / "ablations" / f"{name}.yaml"
    listed = call("sweep", str(file), "--out", str(tmp_path / "out"), "--dry-run").splitlines()
    assert len(listed) == 3 * rows
    assert all(line.endswith(": to do") for line in listed)
