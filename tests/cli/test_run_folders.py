"""Commands that take a file of a run take its folder too, and say which file they took."""

import json
import shutil
from pathlib import Path

import pytest

from lavis_sam import SamPredictor
from lavis_sam.weights.packaged import PACKAGE

FIXTURES = Path(__file__).parents[1] / "compatibility" / "fixtures"
CAT = str(PACKAGE / "assets" / "photographs" / "cat_eyes.jpg")
GREEDY = ("-p", "What?", "--num-beams", "1", "--max-length", "8", "--device", "cpu")


@pytest.fixture
def trained(tmp_path):
    """The folder of a run."""
    return Path(shutil.copytree(FIXTURES / "run_finished", tmp_path / "tiny" / "mine"))


@pytest.mark.parametrize("option", ["--model", "--checkpoint"])
def test_caption_takes_a_run(run, trained, option):
    code, wanted, err = run("caption", CAT, *GREEDY, option, trained / "checkpoint_best.pth")
    assert code == 0, err
    code, out, err = run("caption", CAT, *GREEDY, option, trained)
    assert (code, out) == (0, wanted)
    assert f"of the run {trained}, checkpoint_best.pth is taken" in err
    (trained / "checkpoint_best.pth").unlink()
    assert "checkpoint_2.pth is taken" in run("caption", CAT, *GREEDY, option, trained)[2]


def test_predictor_export_and_explain_take_a_run(run, trained, tmp_path):
    assert SamPredictor.from_pretrained(trained, device="cpu").is_trained
    code, _, err = run("export", tmp_path / "adapter", "--checkpoint", trained)
    assert code == 0, err
    assert json.loads((tmp_path / "adapter" / "config.json").read_text())["trained_parameters"] > 0
    code, _, err = run("explain", CAT, CAT, "--model", trained, "--out", tmp_path / "explained", "--device", "cpu")
    assert code == 0, err


@pytest.mark.parametrize("command", [("caption", CAT), ("export", "out")])
def test_commands_call_a_folder_of_runs_what_it_is(run, trained, command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*command, "--checkpoint", "tiny")
    assert (code, out) == (2, "")
    assert "tiny: a folder of runs, wanted one of them: tiny/mine." in err


@pytest.mark.parametrize("command", ["plot", "table", "score", "compare"])
def test_readers_of_results_call_a_folder_of_runs_what_it_is(run, trained, command):
    others = [trained] if command == "compare" else []
    code, out, err = run(command, *others, trained.parent)
    assert (code, out) == (2, "")
    assert "a folder of runs" in err


def test_doctor_calls_a_folder_of_runs_what_it_is_and_takes_a_run(run, trained):
    code, out, _ = run("doctor", "--checkpoint", trained.parent)
    assert code == 1
    assert "a folder of runs, wanted one of them" in " ".join(out.split())
    assert "checkpoint_best.pth" in run("doctor", "--checkpoint", trained)[1]


def test_table_takes_a_run_by_its_job_id(run, trained):
    code, out, err = run("table", trained)
    assert code == 0, err
    assert "| measured | mine |" in out
    assert run("table", trained / "result" / "test")[1] == out


def test_score_and_compare_take_a_run_and_its_data_sets_folder(run, trained):
    predictions = trained / "result" / "test" / "mmlink" / "pred.json"
    wanted = run("score", predictions, "--json")[1]
    for path in (trained, trained / "result" / "test", predictions.parent):
        assert run("score", path, "--json")[1] == wanted
    code, out, err = run("compare", trained, predictions, "--resamples", 10, "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"]["rouge"]["difference"] == 0


def test_a_run_with_several_data_sets_is_compared_on_the_chosen_one(run):
    several = FIXTURES / "benchmark_run"
    code, out, err = run("score", several, "--json")
    assert (code, out) == (2, "")
    assert "found results on AESOP, DM800K, VIST, wanted one data set. Choose it with --dataset." in err
    code, out, err = run("score", several, "--dataset", "vist", "--json")
    assert code == 0, err
    assert out == run("score", several / "VIST" / "pred.json", "--json")[1]
    assert "wanted one data set called aesop2" in run("score", several, "--dataset", "aesop2")[2]


def test_plot_takes_a_run(run, trained, tmp_path):
    code, _, err = run("plot", trained, "--out", tmp_path / "curves.png")
    assert code == 0, err


def test_table_and_plot_call_runs_as_a_person_says(run, trained, monkeypatch):
    other = Path(shutil.copytree(trained, trained.parent / "other"))
    code, out, err = run("table", f"two images={trained}", other)
    assert code == 0, err
    assert "| measured | two images |" in out
    assert "| measured | other |" in out
    drawn = []
    monkeypatch.setattr("lavis_sam.training.curves.save_png", lambda figure, path: drawn.append(figure))
    assert run("plot", f"two images={trained}", other)[0] == 0
    labels = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert {"two images", "two images, validation", "other", "other, validation"} == set(labels)
