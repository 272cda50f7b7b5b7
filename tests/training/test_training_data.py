"""Images that vanish and shards that are corrupt stop a run by name, or are counted."""

import multiprocessing

import pytest
from torchvision.transforms import Compose, Resize, ToTensor

from helpers.dummies import SIZE, record, write_dataset
from helpers.runs import COUNT, events, make_runner
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.shards import open_shards, write_shards
from lavis_sam.datasets.shards.stream import ShardStream
from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.training.training_data import build_training_data

PROCESSOR = Compose([Resize((SIZE, SIZE)), ToTensor()])


@pytest.fixture
def images(tmp_path):
    records = [record(f"s{i}", img_list=[f"{i}.png"], output="a word") for i in range(COUNT)]
    return write_dataset(tmp_path / "pictures", records)


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


def test_a_step_without_any_usable_sample_does_not_end_the_epoch(tmp_path, images):
    dataset = opened(images)
    runner = make_runner(tmp_path, dataset, batch_size_train=1, accum_grad_iters=1, max_bad_samples=9, max_epoch=1)
    order = [index for (index,) in runner.training_data.sampler]
    (images.parent / f"{order[4]}.png").unlink()
    runner.train()
    assert [event["samples"] for event in events(runner, "train")] == [1] * 4 + [0] + [1] * (COUNT - 5)
    assert (runner.progress.skipped_steps, runner.progress.bad_samples) == (0, 1)


@pytest.fixture
def sharded_images(tmp_path, images):
    samples = read_annotations([images], images.parent)
    write_shards(samples, images.parent, tmp_path / "shards", shard_bytes=18_000)
    return str(tmp_path / "shards")


def test_a_stream_alone_may_be_trained_on_and_only_shuffled(sharded_images):
    stream, other = ShardStream([sharded_images], PROCESSOR), open_shards([sharded_images], PROCESSOR)
    place = {"batch_size": 2, "seed": 0, "rank": 0, "world_size": 1}
    with pytest.raises(SamConfigurationError, match="found 2 training sets, one of them a stream"):
        build_training_data([stream, other], **place)
    with pytest.raises(SamConfigurationError, match="found 'bucketed' for a stream"):
        build_training_data([stream], batching="bucketed", **place)


@pytest.mark.parametrize(
    "change", [{"batch_size": 3}, {"num_workers": 2}, {"world_size": 2}, {"seed": 1}, {"shuffle_buffer": 7}]
)
def test_a_stream_s_position_is_refused_by_another_run(sharded_images, change):
    def data(batch_size=2, seed=0, rank=0, world_size=1, num_workers=0, shuffle_buffer=5):
        stream = ShardStream([sharded_images], PROCESSOR, shuffle_buffer=shuffle_buffer)
        options = {"batch_size": batch_size, "seed": seed, "rank": rank, "world_size": world_size}
        return build_training_data([stream], num_workers=num_workers, **options)

    first = data()
    first.start(0, 0)
    first.next_batch()
    data().load_state_dict(first.state_dict())
    with pytest.raises(SamCheckpointError, match="within an epoch of a stream, a run continues only with"):
        data(**change).load_state_dict(first.state_dict())


def test_a_stream_goes_on_with_other_sizes_after_a_whole_epoch(tmp_path, sharded_images):
    def runner(**options):
        return make_runner(tmp_path, ShardStream([sharded_images], PROCESSOR), **options)

    runner(max_epoch=1, batch_size_train=4).train()
    continued = runner(max_epoch=2, batch_size_train=3)
    continued.train()
    assert [event["samples"] for event in events(continued, "epoch")] == [COUNT] * 2


@pytest.mark.parametrize("change", ["output", "shard", None])
def test_a_stream_is_refused_with_other_shards_after_a_whole_epoch(tmp_path, images, sharded_images, change):
    make_runner(tmp_path, ShardStream([sharded_images], PROCESSOR), max_epoch=1).train()
    records = [record(f"s{i}", img_list=[f"{i}.png"], output="a word") for i in range(COUNT)]
    if change == "output":
        records[3]["output"] = "a wort"
    annotations = write_dataset(tmp_path / "again" / "images", records)
    size = 30_000 if change == "shard" else 18_000
    write_shards(
        read_annotations([annotations], annotations.parent), annotations.parent, tmp_path / "moved", shard_bytes=size
    )
    continued = make_runner(tmp_path, ShardStream([str(tmp_path / "moved")], PROCESSOR), max_epoch=2)
    if change is None:  # a folder may move
        continued.train()
        return
    with pytest.raises(SamConfigurationError, match="training data: other ids"):
        continued.train()


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


def test_a_stream_s_workers_end_when_it_is_stopped(sharded_images):
    data = build_training_data(
        [ShardStream([sharded_images], PROCESSOR)], num_workers=1, batch_size=2, seed=0, rank=0, world_size=1
    )
    data.start(0, seed=0)
    data.next_batch()
    workers = data._loading._workers
    assert all(worker.is_alive() for worker in workers)
    data.stop()
    assert not any(worker.is_alive() for worker in workers)
