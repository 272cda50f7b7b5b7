"""From one data set to training, validation and test samples that share no image."""

import os
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from lavis_sam.datasets.formats.release import SPLITS
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import sha256_of
from lavis_sam.progress import tracked


def split_samples(
    samples: Sequence[MultiImageSample], root: Path, fractions: Mapping[str, float], seed: int
) -> dict[str, list[MultiImageSample]]:
    """Deal samples out to splits; samples with an image in common, whatever its name, stay together.

    Args:
        root: The folder that the image paths are relative to.
        fractions: "val" and "test" -> their share of the samples, from 0 to below 1; the rest is for training.
        seed: Equal seeds give equal splits.

    Returns:
        Split -> its samples in their order; splits with a share of 0 are not there.

    Raises:
        SamConfigurationError: Shares that are none.
        SamDataError: Too few samples without common images for that many splits.
    """
    shares = {"train": 1.0 - sum(fractions.values()), **fractions}
    if not all(0 <= share <= 1 for share in shares.values()) or shares["train"] <= 0:
        raise SamConfigurationError(
            f"--val, --test: found {', '.join(f'{share:g}' for share in fractions.values())}, wanted shares from 0 to "
            "below 1 that leave something for training."
        )
    wanted = [split for split in SPLITS if shares.get(split)]
    groups = _groups(samples, root)
    if len(groups) < len(wanted):
        raise SamDataError(
            f"{root}: found {len(samples)} sample(s) in {len(groups)} group(s) without an image in common, wanted at "
            f"least one group for each of {', '.join(wanted)}. Set --val 0 or --test 0, or bring more samples."
        )
    dealt = _deal(groups, {split: shares[split] * len(samples) for split in wanted}, seed)
    return {split: [samples[number] for number in sorted(numbers)] for split, numbers in dealt.items()}


def _deal(groups: Sequence[Sequence[int]], room: dict[str, float], seed: int) -> dict[str, list[int]]:
    """Give each group, the largest first, to the split that lacks most; none stays empty."""
    order = list(groups)
    random.Random(seed).shuffle(order)
    order.sort(key=len, reverse=True)
    dealt: dict[str, list[int]] = {split: [] for split in room}
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        empty = [split for split in room if not dealt[split]]
        split = max(empty if left <= len(empty) else room, key=lambda name: room[name])
        dealt[split] += group
        room[split] -= len(group)
    return dealt


def _groups(samples: Sequence[MultiImageSample], root: Path) -> list[list[int]]:
    """Return the numbers of samples that are linked by images of the same content."""
    named = dict.fromkeys(image for sample in samples for image in sample.images)
    digests = {image: sha256_of(os.path.join(root, image)) for image in tracked(named, "images", len(named))}
    group_of = list(range(len(samples)))

    def first(number: int) -> int:
        while group_of[number] != number:
            group_of[number] = number = group_of[group_of[number]]
        return number

    users: dict[str, int] = {}
    for number, sample in enumerate(samples):
        for image in sample.images:
            one, other = sorted((first(users.setdefault(digests[image], number)), first(number)))
            group_of[other] = one
    groups: dict[int, list[int]] = defaultdict(list)
    for number in range(len(samples)):
        groups[first(number)].append(number)
    return list(groups.values())
