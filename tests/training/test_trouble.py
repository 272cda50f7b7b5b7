"""Full disks, read-only folders, images that vanish, shards that are corrupt, losses that are not finite."""

import errno
import multiprocessing

import pytest
import torch
from torchvision.transforms import Compose, Resize, ToTensor

import lavis_sam.files
import lavis_sam.weights.checkpoints
from helpers.dummies import SIZE, DummyDataset, DummyModel, dummy_config, record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.shards import open_shards, write_shards
from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.metric_log import read_metric_log

PROCESSOR = Compose([Resize((SIZE, SIZE)), ToTensor()])
COUNT = 12


def make_runner(folder, dataset=None, model=None, **run):
    config = dummy_config(folder, job_id="run", resume="auto", **{"max_epoch": 2, "checkpoint_steps": 1} | run)
    datasets = {"s": {"train": dataset or DummyDataset(COUNT)}}
    return RunnerSam(config, MultiImageCaptioningTask(), model or DummyModel(), datasets)


def events(runner, kind):
    return [event for event in read_metric_log(runner.output_dir / "log.jsonl") if event["event"] == kind]


def whole(folder):
    """Every checkpoint of the run can be read."""
    found = sorted((folder / "run").glob("*.pth"))
    for path in found:
        torch.load(path, weights_only=True)
    return [path.name for path in found]


@pytest.fixture
def images(tmp_path):
    records = [record(f"s{i}", img_list=[f"{i}.png"], output="a word") for i in range(COUNT)]
    return write_dataset(tmp_path / "pictures", records)


@pytest.mark.parametrize("reported", ["by the system", "by torch"])
def test_a_full_disk_is_one_clear_error_and_no_checkpoint_is_lost(tmp_path, monkeypatch, reported):
    runner, save, calls = make_runner(tmp_path), torch.save, []

    def full(obj, path):
        calls.append(path)
        if len(calls) > 3:
            path.write_bytes(b"half a file")
            if reported == "by torch":
                raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(obj, path)

    monkeypatch.setattr(lavis_sam.weights.checkpoints.torch, "save", full)
    with pytest.raises(SamCheckpointError, match=r"run/checkpoint_1_step4\.pth: the checkpoint cannot be written"):
        runner.train()
    assert whole(tmp_path) == ["checkpoint_0.pth", "checkpoint_0_step2.pth"]
    assert not list(tmp_path.glob("run/.*"))
    monkeypatch.undo()
    continued = make_runner(tmp_path)  # there is room again
    continued.train()
    assert events(continued, "resumed")[0]["step"] == 3


def test_a_read_only_folder_is_one_clear_error(tmp_path, monkeypatch):
    runner, made = make_runner(tmp_path), []

    def read_only(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    def after_two_steps(event, **values):
        made.append(event)
        if len(made) == 2:
            monkeypatch.setattr(lavis_sam.weights.checkpoints, "atomic_path", read_only)

    monkeypatch.setattr(runner.metric_log, "write", after_two_steps)
    with pytest.raises(SamCheckpointError, match=r"Read-only file system.*Earlier ones are as they were"):
        runner.train()
    assert whole(tmp_path) == ["checkpoint_0_step1.pth"]


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


def test_a_log_that_cannot_be_written_is_one_clear_error(tmp_path):
    runner = make_runner(tmp_path)
    (runner.output_dir / "log.jsonl").mkdir()
    with pytest.raises(SamConfigurationError, match=r"log\.jsonl: cannot be written \(Is a directory\)"):
        runner.train()


def opened(annotations):
    root = annotations.parent
    return MultiImageDataset(read_annotations(annotations, root), FolderImages(root), PROCESSOR)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_vanished_image_stops_the_run_by_name(tmp_path, images, workers):
    dataset = opened(images)
    (images.parent / "7.png").unlink()
    with pytest.raises(SamDataError, match=r"epoch 0 step \d.*7\.png.*max_bad_samples allows 0") as caught:
        make_runner(tmp_path, dataset, num_workers=workers).train()
    assert "Traceback" not in str(caught.value)
    # However long somebody keeps the error and its frames: the worker processes are gone.
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_vanished_image_is_left_out_and_counted_if_the_run_allows_it(tmp_path, images, workers):
    dataset = opened(images)
    (images.parent / "7.png").unlink()
    runner = make_runner(tmp_path, dataset, num_workers=workers, max_bad_samples=2)
    runner.train()
    assert runner.progress.bad_samples == 2  # once an epoch
    assert [event["samples"] for event in events(runner, "epoch")] == [COUNT - 1] * 2
    assert all("7.png" in event["problems"][0] for event in events(runner, "bad_samples"))


def test_a_batch_without_any_usable_sample_counts_for_nothing(tmp_path, images):
    dataset = opened(images)
    runner = make_runner(tmp_path, dataset, batch_size_train=1, accum_grad_iters=3, max_bad_samples=9, max_epoch=1)
    order = [index for (index,) in runner.training_data.sampler]
    (images.parent / f"{order[4]}.png").unlink()
    runner.train()
    assert [event["samples"] for event in events(runner, "train")] == [3, 2, 3, 3]


def test_a_corrupt_shard_is_passed_over_and_counted(tmp_path, images):
    samples = read_annotations([images], images.parent)
    write_shards(samples, images.parent, tmp_path / "shards", shard_bytes=18_000)
    first = sorted((tmp_path / "shards").glob("*.tar"))[0]
    content = bytearray(first.read_bytes())
    place = content.index(b"\x89PNG") + 60
    content[place : place + 8] = b"\xff" * 8
    first.write_bytes(content)
    runner = make_runner(tmp_path, open_shards([tmp_path / "shards"], PROCESSOR))
    runner.train()
    assert (runner.progress.damaged_samples, runner.progress.bad_samples) == (2, 0)
    assert [event["samples"] for event in events(runner, "epoch")] == [COUNT - 1] * 2


def test_losses_that_are_not_finite_are_skipped_up_to_a_count(tmp_path):
    model = DummyModel()
    model.poison = "s3"
    runner = make_runner(tmp_path, model=model, max_nonfinite_steps=2)
    runner.train()
    assert runner.progress.skipped_steps == 2
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert ["s3" in event["samples"] for event in events(runner, "skipped")] == [True, True]
    with pytest.raises(SamDataError, match=r"epoch 1 step \d.*rank 0 had the samples.*max_nonfinite_steps allows 1"):
        make_runner(tmp_path / "other", model=model, max_nonfinite_steps=1).train()


def test_a_gradient_that_is_not_finite_is_met_too(tmp_path):
    class Steep(DummyModel):
        def forward(self, samples):
            output = super().forward(samples)
            return output | {"loss": torch.sqrt(output["loss"] - output["loss"].detach()) + output["loss"].detach()}

    model = Steep()
    before = model.trained.weight.detach().clone()
    with pytest.raises(SamDataError, match=r"epoch 0 step 0: found a gradient norm of (nan|inf).*rank 0"):
        make_runner(tmp_path, model=model).train()
    assert torch.equal(model.trained.weight, before)
