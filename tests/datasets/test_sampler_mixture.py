"""A map-style set and shards as one: the same samples whoever reads them, each exactly once."""

from collections import Counter

import pytest
import torch

from helpers.shards import offset_of, opened, overwrite, sharded, write_images
from lavis_sam.datasets.annotations import read_annotations, write_annotations
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.sampler import Mixture
from lavis_sam.datasets.shards import open_shards
from lavis_sam.training.training_data import build_training_data


def noisy(image):
    """Image and augmentation in one tensor."""
    return torch.tensor(image.resize((2, 2)).tobytes()[0] / 255) + torch.rand(3, 2, 2)


def plain(text):
    return text


@pytest.fixture
def parts(tmp_path):
    """Seven samples in files, ten in shards."""
    _, path = sharded(tmp_path / "a")
    samples = write_images(tmp_path / "b", 7, first=30)
    annotations = tmp_path / "b" / "annotations.json"
    write_annotations(annotations, samples)
    return [
        MultiImageDataset(read_annotations(annotations, tmp_path / "b"), FolderImages(tmp_path / "b"), noisy),
        open_shards([path], noisy),
    ]


def training_data(parts, *, rank=0, ranks=1, batch_size=4, **options):
    return build_training_data(parts, batch_size=batch_size, seed=3, rank=rank, world_size=ranks, **options)


def epoch_of(data, epoch, stop=None):
    """(sample id, its first numbers) of the batches that count, up to batch `stop`."""
    data.start(epoch, seed=3)
    found = []
    while data.remaining and (stop is None or data.used < stop):
        batch = data.next_batch()
        if batch.counts:
            pixels = batch.samples["image"].flatten(1)[:, :2].tolist()
            found.append(list(zip(batch.samples["sample_id"], map(tuple, pixels), strict=True)))
    return found


def test_items_of_a_mixture(parts):
    mixture = Mixture(parts)
    assert len(mixture) == 17
    assert mixture[3]["sample_id"] == parts[0][3]["sample_id"]
    assert mixture[7]["sample_id"] == parts[1][0]["sample_id"]
    again = mixture[17 + 7]
    assert again["sample_id"] == mixture[7]["sample_id"]
    assert not torch.equal(again["image"], mixture[7]["image"])
    assert torch.equal(again["image"], parts[1].item(0, repeat=1)["image"])
    with pytest.raises(IndexError):
        mixture[-1]


def test_a_set_that_knows_no_repeats_gives_the_same_item():
    assert Mixture([range(3), range(10, 12)])[5 + 3] == 10


@pytest.mark.parametrize("batching", ["shuffled", "bucketed"])
def test_the_number_of_workers_changes_nothing(parts, batching):
    alone = [epoch_of(training_data(parts, batching=batching), epoch) for epoch in (0, 1)]
    worked = [epoch_of(training_data(parts, batching=batching, num_workers=2), epoch) for epoch in (0, 1)]
    assert alone == worked
    assert alone[0] != alone[1]


@pytest.mark.parametrize("batching", ["shuffled", "bucketed"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_every_sample_exactly_once(parts, ranks, batching):
    options = {"ranks": ranks, "batch_size": 2, "batching": batching}
    shares = [epoch_of(training_data(parts, rank=rank, **options), 1) for rank in range(ranks)]
    names = Counter(name for share in shares for batch in share for name, _ in batch)
    ids = [sample.id for part in parts for sample in part.annotation]
    assert names == Counter(ids)
    whole = epoch_of(training_data(parts, batch_size=2 * ranks, batching=batching), 1)
    for number, batch in enumerate(whole):
        assert set(batch) == {item for share in shares for item in (share[number] if number < len(share) else ())}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batching", ["shuffled", "bucketed"])
def test_a_position_saved_in_the_middle_of_an_epoch(parts, workers, batching):
    """With ratios, so that samples repeat; saved after 2 of 5 batches of epoch 1, whatever workers have read ahead."""
    parts[0].sample_ratio, parts[1].sample_ratio = 3, 1
    options = {"batching": batching, "num_workers": workers}
    whole = epoch_of(training_data(parts, **options), 1)
    first = training_data(parts, **options)
    begun = epoch_of(first, 1, stop=2)
    state = first.state_dict()
    second = training_data(parts, **options)
    second.load_state_dict(state)
    assert begun + epoch_of(second, 1) == whole
    assert epoch_of(second, 2) == epoch_of(first, 2)


def test_shares_by_ratio(parts):
    parts[0].sample_ratio, parts[1].sample_ratio = 16, 1
    names = Counter(name for batch in epoch_of(training_data(parts), 0) for name, _ in batch)
    own = {sample.id for sample in parts[0].annotation}
    assert sum(count for name, count in names.items() if name in own) == 16
    assert {names[name] for name in own} == {2, 3}
    items = [item for batch in epoch_of(training_data(parts), 0) for item in batch]
    assert len(set(items)) == 17  # whenever a sample comes again, it is augmented anew


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_samples_are_passed_over_and_counted(tmp_path, workers):
    _, path = sharded(tmp_path)
    for number in (1, 4):
        for shard in path.glob("*.tar"):
            try:
                overwrite(shard, offset_of(shard, f"{number:09d}.1.png") + 40, b"??")
            except KeyError:
                continue
    dataset = opened(path)
    dataset.set_processors(noisy, plain)
    data = training_data([dataset], batch_size=3, num_workers=workers)
    data.start(0, seed=3)
    names, unusable = [], []
    while data.remaining:
        batch = data.next_batch()
        unusable += batch.unusable
        names += batch.samples["sample_id"] if batch.counts else []
    assert sorted(map(str, names)) == sorted(str(s.id) for i, s in enumerate(dataset.annotation) if i not in (1, 4))
    assert [sample.tolerated for sample in unusable] == [True, True]
    assert all("checksum" in sample.problem for sample in unusable)
