"""`lavis-sam config`, `plan` and `plot`: what a run would be, and what it was."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lavis_sam.cli import app
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.training.curves import draw_curves, read_curves

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = str(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml")


def call(*words):
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def write_log(folder, losses, *further):
    folder.mkdir(parents=True)
    events = [{"event": "train", "step": i, "loss": loss, "lr": 0.1} for i, loss in enumerate(losses)]
    lines = [json.dumps(event) for event in (*events, *further)]
    (folder / "log.jsonl").write_text("\n".join([*lines, '{"event": "trai']))
    return folder


def test_config_prints_every_value_with_its_origin():
    lines = call("config", "--cfg-path", TINY, "--options", "run.seed=7", "model.max_txt_len=9").splitlines()
    found = {line.split()[0]: line for line in lines}
    assert found["run.seed"].split()[1:] == ["7", "#", "option"]
    assert found["model.max_txt_len"].endswith("# option")
    assert found["run.warmup_steps"].endswith(f"# file {TINY}")
    assert found["run.beta1"].endswith("# default")
    assert found["model.guidance.context"].endswith("# packaged models/blip2_vicuna_sam_tiny.yaml")
    assert not any(line.endswith("# computed") for line in lines)


def test_config_as_json():
    values = json.loads(call("config", "--cfg-path", TINY, "--json"))
    assert values["run.init_lr"] == {"value": 0.01, "origin": f"file {TINY}"}
    assert values["run.decoding.num_beams"]["value"] == 1


def test_config_says_everything_that_is_wrong(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"(?s)unknown key 'sed'.*unknown key 'promt'"):
        call("config", "--cfg-path", TINY, "--options", "run.sed=7", "model.promt=9")


def test_plan():
    made = json.loads(
        call("plan", "--cfg-path", TINY, "--json", "--images", "3", "--options", "run.batch_size_train=2")
    )
    assert made["load"] == made["load"] | {"batch": 2, "images": 3, "eval_batch": 9}
    assert type(made["trainable_parameters"]) is int
    assert made["memory"]["training"] > sum(made["memory"]["weights"].values())
    text = call("plan", "--cfg-path", str(REPOSITORY / "projects" / "sam" / "train.yaml"), "--gpus", "4")
    assert "4332417" in text
    assert "4 GPU(s) x 1 batch(es) x 5 sample(s)" in text


def test_curves_are_read_over_kills_and_continuations(tmp_path):
    again = {"event": "train", "step": 1, "loss": 7.0, "lr": 0.2}
    skipped = {"event": "train", "step": 3, "loss": None, "lr": 0.2}
    validation = {"event": "evaluation", "epoch": 0, "loss": 5.0}
    tested = {"event": "evaluation", "epoch": "last", "loss": 1.0}
    curves = read_curves(write_log(tmp_path / "run", [3.0, 2.0, 1.0], again, skipped, validation, tested))
    assert curves.name == "run"
    assert curves.loss == {0: 3.0, 1: 7.0, 2: 1.0}
    assert curves.lr == {0: 0.1, 1: 0.2, 2: 0.1, 3: 0.2}
    assert curves.validation == {4: 5.0}


def test_plot_needs_runs(tmp_path):
    with pytest.raises(SamDataError, match=r"log\.jsonl: cannot be read"):
        read_curves(tmp_path)
    with pytest.raises(SamDataError, match="found no training step"):
        read_curves(write_log(tmp_path / "empty", []))


def test_plot_writes_a_image(tmp_path):
    runs = [write_log(tmp_path / name, [3.0, 2.0]) for name in ("one", "two")]
    call("plot", *map(str, runs))
    assert (runs[0] / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert draw_curves([runs[0] / "log.jsonl"], tmp_path / "here.png") == tmp_path / "here.png"
    assert (tmp_path / "here.png").stat().st_size > 1000


def test_without_matplotlib_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SamConfigurationError, match="pip install matplotlib"):
        draw_curves([write_log(tmp_path / "run", [1.0])])
