"""`lavis-sam train` and `lavis-sam evaluate`: the two programs of LAVIS under one name."""

import json
import shutil
from pathlib import Path

import pytest

from lavis_sam import entry

FIXTURES = Path(__file__).parents[1] / "compatibility" / "fixtures"
TRAIN = "projects/sam/tiny/train.yaml"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def asked(monkeypatch):
    """What the programs are asked to do, instead of doing it."""
    calls = []

    def record(arguments, program, forced=None):
        calls.append((arguments.cfg_path, arguments.options, arguments.data, program, dict(forced or {})))
        return len(calls) - 1  # the first call is a success

    monkeypatch.setattr(entry, "run_program", record)
    return calls


@pytest.mark.parametrize(
    "words",
    [
        (TRAIN, "run.seed=1", "run.max_epoch=2"),
        ("--cfg-path", TRAIN, "--options", "run.seed=1", "run.max_epoch=2"),
        (TRAIN, "--options", "run.seed=1", "run.max_epoch=2"),
        ("--options", "run.seed=1", "run.max_epoch=2", TRAIN),
        ("--options", "run.seed=1", "--options", "run.max_epoch=2", "--cfg-path", TRAIN),
    ],
)
def test_train_takes_what_lavis_train_takes(run, asked, words):
    assert run("train", *words, "--data", "mine")[0] == 0
    assert asked == [(TRAIN, ["run.seed=1", "run.max_epoch=2"], Path("mine"), "lavis-sam train", {})]


def test_train_hands_on_the_exit_code(run, asked):
    assert run("train", TRAIN)[0] == 0
    assert run("train", TRAIN)[0] == 1


@pytest.mark.parametrize("option", ["--checkpoint", "--ckpt"])
def test_evaluate_takes_a_checkpoint(run, asked, option):
    assert run("evaluate", TRAIN, option, "sam.pth")[0] == 0
    layers = {"model.load_finetuned": True, "model.finetuned": "sam.pth"}
    assert asked == [(TRAIN, [], None, "lavis-sam evaluate", {"run.evaluate": True, **layers})]


def test_evaluate_of_a_run_takes_its_configuration_and_checkpoint_into_a_folder_of_its_own(run, asked):
    finished = FIXTURES / "run_finished"
    assert run("evaluate", finished, "run.job_id=again")[0] == 0
    ((config, settings, _, _, forced),) = asked
    assert (config, settings) == (str(finished / "config.yaml"), ["run.job_id=again"])
    assert forced.pop("model.finetuned") == str(finished)
    assert forced == {
        "run.evaluate": True,
        "run.resume": None,
        "run.resume_ckpt_path": None,
        "model.load_finetuned": True,
    }


@pytest.mark.parametrize("command", ["train", "evaluate", "config", "plan"])
def test_commands_of_a_run_say_that_they_want_a_configuration(run, command):
    code, out, err = run(command, "run.seed=1")
    assert (code, out) == (2, "")
    assert "CONFIG: missing" in err


@pytest.mark.parametrize("command", ["config", "plan"])
def test_commands_that_look_at_a_configuration_take_it_as_an_argument(run, monkeypatch, command):
    monkeypatch.chdir(ROOT)
    code, wanted, err = run(command, "--cfg-path", TRAIN, "--options", "run.seed=7", "--json")
    assert code == 0, err
    assert run(command, TRAIN, "run.seed=7", "--json")[1] == wanted
    assert run(command, FIXTURES / "run_finished", "--json")[0] == 0


def test_evaluate_without_trained_layers_says_so_once_and_in_the_results(run, monkeypatch, tmp_path, caplog):
    shutil.copytree(FIXTURES / "images", tmp_path / "images")
    for name in ("evaluate.yaml", "photographs.json", "two_photographs.json"):
        shutil.copy(FIXTURES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    options = ("run.decoding.max_length=4", "run.job_id=one", "model.finetuned=")
    code, _, err = run("evaluate", "evaluate.yaml", *options)
    assert code == 0, err
    assert caplog.text.count("SAM'S LAYERS ARE UNTRAINED") == 1
    (manifest,) = tmp_path.rglob("manifest.json")
    assert json.loads(manifest.read_text("utf-8"))["made_by"]["is_trained"] is False
