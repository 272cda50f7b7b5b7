"""The folder of a run: its name, what is written into it, and whether the run has finished."""

import errno
import json

import pytest

import lavis_sam.files
from helpers.dummies import DummyDataset, DummyModel, dummy_config
from helpers.runs import COUNT, whole
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.output_folder import agreed_run_folder, is_finished, make_run_folder, unfinished_run


def test_make_run_folder_gives_runs_that_start_together_folders_of_their_own(tmp_path):
    assert len({make_run_folder(tmp_path, None) for _ in range(5)}) == 5


def test_auto_finds_the_last_unfinished_run(tmp_path):
    assert unfinished_run(tmp_path) is None
    datasets = {"s": {"train": DummyDataset(4)}}
    for name in ("finished", "other"):
        config = dummy_config(tmp_path, job_id=name)
        RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), datasets).train()
    assert is_finished(tmp_path / "other")
    log = tmp_path / "other" / "log.jsonl"
    log.write_text("".join(line for line in log.read_text().splitlines(True) if "finished" not in line))
    (tmp_path / "empty").mkdir()
    assert unfinished_run(tmp_path) == "other"
    runner = RunnerSam(dummy_config(tmp_path, resume="auto"), MultiImageCaptioningTask(), DummyModel(), datasets)
    assert runner.output_dir == tmp_path / "other"
    # The recipes say `resume: auto`; an evaluation with one of them is not that training.
    evaluation = RunSettings.from_config({"output_dir": str(tmp_path), "resume": "auto", "evaluate": True})
    assert agreed_run_folder(evaluation, None)[0] != "other"
    runner.train()
    assert unfinished_run(tmp_path) is None
    fresh = RunnerSam(dummy_config(tmp_path, resume="auto"), MultiImageCaptioningTask(), DummyModel(), datasets)
    assert fresh.output_dir.name not in ("finished", "other", "empty")


@pytest.mark.parametrize("name", ["config.yaml", "pred.json"])
def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path, monkeypatch, name):
    """Before the first step, and after the last: what was trained is on the disk."""
    write = lavis_sam.files.write_bytes

    def full(path, data):
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(lavis_sam.files, "write_bytes", full)
    datasets = {"s": {"train": DummyDataset(COUNT), "test": DummyDataset(2)}}
    config = dummy_config(tmp_path, job_id="run", max_epoch=1, test_splits=["test"])
    with pytest.raises(SamConfigurationError, match=r"cannot be written \(No space left on device\).*resume=auto"):
        RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), datasets).train()
    assert whole(tmp_path) == (["checkpoint_0.pth"] if name == "pred.json" else [])


@pytest.mark.parametrize("name", ["a/../../out", "../out", "..", "/out", "a/b"])
def test_a_job_id_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(SamConfigurationError, match=r"run\.job_id: found .*wanted the name of one folder"):
        agreed_run_folder(RunSettings(output_dir=str(tmp_path / "runs"), job_id=name), None)
    assert not list(tmp_path.iterdir())


def write_events(folder, *events):
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


STEPS = [{"event": "train", "step": step} for step in range(3)]


@pytest.mark.parametrize(
    ("events", "finished"),
    [
        ([*STEPS, {"event": "finished", "step": 3}], True),
        ([{"event": "evaluation"}, {"event": "finished", "step": 0}], True),
        (STEPS, False),
        ([*STEPS, {"event": "evaluation"}, {"event": "finished", "step": 0}], False),
        ([*STEPS, {"event": "finished", "step": 3}, {"event": "resumed"}, {"event": "train", "step": 3}], False),
        ([*STEPS, {"event": "finished", "step": 3}, {"event": "resumed", "step": 1}], False),
        ([*STEPS, {"event": "finished", "step": 3}, {"event": "resumed", "step": 3}], True),
    ],
    ids=[
        "trained",
        "evaluated",
        "killed",
        "killed and then evaluated",
        "finished, gone on with, killed",
        "went back",
        "went on",
    ],
)
def test_a_run_is_finished_when_its_training_is(tmp_path, events, finished):
    write_events(tmp_path, *events)
    assert is_finished(tmp_path) is finished
