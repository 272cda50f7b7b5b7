"""The folder of a run stands for its checkpoint, configuration, log or results; a folder of runs for none of these."""

from pathlib import Path

import pytest

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.run_layout import beyond, checkpoint_of, config_of, is_run, log_of, named_path, results_of, run_name


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def run(tmp_path):
    names = ("config.yaml", "log.jsonl", "checkpoint_2.pth", "checkpoint_10_step40.pth", "checkpoint_best.pth")
    return make(tmp_path / "tiny" / "mine", *names, "result/test/AESOP/pred.json", "result/val_epoch1/VIST/pred.json")


def test_run_layout_best_checkpoint_before_the_last(run):
    assert checkpoint_of(run).name == "checkpoint_best.pth"
    (run / "checkpoint_best.pth").unlink()
    assert checkpoint_of(str(run)).name == "checkpoint_10_step40.pth"
    (run / "checkpoint_10_step40.pth").unlink()
    make(run, ".checkpoint_11.pth.tmp", "checkpoint_x.pth")
    assert checkpoint_of(run).name == "checkpoint_2.pth"


def test_run_layout_other_paths_stand_for_themselves(run, tmp_path):
    adapter = make(tmp_path / "adapter", "config.json", "sam_adapter.safetensors")
    for path in (run / "checkpoint_2.pth", adapter, tmp_path / "gone", tmp_path / "gone.pth"):
        assert checkpoint_of(path) == path
    assert config_of(tmp_path / "run.yaml") == tmp_path / "run.yaml"
    assert log_of(tmp_path / "log.jsonl") == tmp_path / "log.jsonl"
    assert results_of(run / "result" / "test") == run / "result" / "test"
    assert not is_run(adapter)


def test_run_layout_a_run_without_a_checkpoint_says_what_is_missing(tmp_path):
    evaluated = make(tmp_path / "evaluated", "config.yaml", "log.jsonl", "result/test/AESOP/pred.json")
    with pytest.raises(SamCheckpointError, match=r"evaluated: this run has no checkpoint \(checkpoint_best\.pth"):
        checkpoint_of(evaluated)


def test_run_layout_configuration_and_log_of_a_run(run, tmp_path):
    assert config_of(run) == run / "config.yaml"
    assert log_of(run) == run / "log.jsonl"
    with pytest.raises(SamConfigurationError, match=r"empty: this folder has no config\.yaml"):
        config_of(make(tmp_path / "empty", "x"))


def test_run_layout_results_are_those_of_the_test_split_or_the_only_one(run):
    assert results_of(run) == run / "result" / "test"
    make(run, "result/val/AESOP/pred.json")
    assert results_of(run) == run / "result" / "test"
    (run / "result" / "test").rename(run / "result" / "extra")
    with pytest.raises(SamDataError, match=r"several splits. Give one of \S+/result/extra, \S+/result/val\."):
        results_of(run)
    (run / "result" / "extra").rename(run / "result" / "extra_epoch3")
    assert results_of(run) == run / "result" / "val"


def test_run_layout_a_run_without_an_evaluation_names_its_validations(run, tmp_path):
    (run / "result" / "test" / "AESOP" / "pred.json").unlink()
    (run / "result" / "test" / "AESOP").rmdir()
    (run / "result" / "test").rmdir()
    with pytest.raises(SamDataError, match=r"no results of a test split .*`lavis-sam evaluate .*result/val_epoch1"):
        results_of(run)


@pytest.mark.parametrize("find", [checkpoint_of, config_of, log_of, results_of])
def test_run_layout_a_folder_of_runs_is_called_one_and_its_runs_are_named(run, find):
    make(run.parent / "other", "log.jsonl")
    with pytest.raises((SamCheckpointError, SamConfigurationError, SamDataError)) as error:
        find(run.parent)
    assert f"{run.parent}: a folder of runs, wanted one of them: {run}, {run.parent / 'other'}." in str(error.value)


def test_run_layout_a_run_is_called_by_its_job_id_wherever_one_stands_in_it(run, tmp_path, monkeypatch):
    assert run_name(run) == run_name(run / "result" / "test") == "mine"
    assert run_name(tmp_path / "runs" / "sam") == "sam"
    assert run_name(tmp_path / "result" / "test") == "test"  # no run is above
    monkeypatch.chdir(run)
    assert run_name(Path(".")) == "mine"


def test_run_layout_a_name_before_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "lr=1e-4", "log.jsonl")
    assert named_path("two images=runs/a") == ("two images", Path("runs/a"))
    assert named_path("runs/a") == (None, Path("runs/a"))
    assert named_path("lr=1e-4") == (None, Path("lr=1e-4"))  # a folder of that name
    assert named_path("low=lr=1e-4") == ("low", Path("lr=1e-4"))


def test_beyond_counts_whole_epochs_and_steps(tmp_path):
    make(tmp_path, *(f"checkpoint_{name}.pth" for name in ("0", "1_step5", "1", "2_step7", "best")))
    found = {
        place: [path.name for path in beyond(tmp_path, epochs=place[0], step=place[1])]
        for place in ((1, 3), (1, 5), (2, 6), (2, 7))
    }
    assert found == {
        (1, 3): ["checkpoint_1_step5.pth", "checkpoint_1.pth", "checkpoint_2_step7.pth"],
        (1, 5): ["checkpoint_1.pth", "checkpoint_2_step7.pth"],
        (2, 6): ["checkpoint_2_step7.pth"],
        (2, 7): [],
    }
