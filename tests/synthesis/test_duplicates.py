import numpy as np
from PIL import Image

from lavis_sam.synthesis.duplicates import FARTHEST, DuplicateIndex, image_hash


def image(seed):
    small = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC))


def bits(first, second):
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_the_same_image_in_other_clothes_is_near_and_another_one_is_not():
    original = image(0)
    brighter = np.clip(original.astype(int) + 12, 0, 255).astype(np.uint8)
    smaller = np.asarray(Image.fromarray(original).resize((64, 64)))
    for changed in (brighter, smaller):
        assert bits(image_hash(original), image_hash(changed)) <= 4
    assert min(bits(image_hash(original), image_hash(image(seed))) for seed in range(1, 30)) > 8
    assert len(image_hash(original)) == 16


def index_of(*samples):
    index = DuplicateIndex()
    for slot, hashes in enumerate(samples):
        index.add(slot, hashes)
    return index


A, B, C = "0000000000000000", "00000000ffffffff", "ffffffffffffffff"
NEAR_A = "0000000000000007"


def test_a_sample_repeats_another_when_all_its_images_do_in_any_order():
    index = index_of((A, B), (B, C))
    assert index.nearest((B, NEAR_A)) == (0, 3)
    assert index.nearest((C, B)) == (1, 0)


def test_one_common_image_is_not_enough():
    assert index_of((A, B)).nearest((A, C)) == (0, 32)


def test_the_first_sample_is_alone():
    assert DuplicateIndex().nearest((A,)) == (None, FARTHEST)


def test_the_earlier_of_two_equals_is_named():
    assert index_of((A, B), (A, B)).nearest((A, B)) == (0, 0)


def test_it_grows():
    rng = np.random.default_rng(0)
    samples = [tuple(f"{int(value):016x}" for value in rng.integers(0, 2**63, 3, dtype=np.uint64)) for _ in range(2500)]
    index = index_of(*samples)
    for slot in (0, 1023, 1024, 2499):
        assert index.nearest(samples[slot]) == (slot, 0)
