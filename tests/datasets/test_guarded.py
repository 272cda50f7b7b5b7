"""Samples that cannot be used are handed on with their names; only damage inside a shard is tolerated."""

import pytest

from lavis_sam.datasets.guarded import DamagedSampleError, GuardedDataset, Unusable
from lavis_sam.errors import SamDataError


class Broken(list):
    def __getitem__(self, index):
        value = super().__getitem__(index)
        if isinstance(value, Exception):
            raise value
        return value


@pytest.mark.parametrize(
    ("error", "problem", "tolerated"),
    [
        (SamDataError("no image"), "sample 1: no image", False),
        (SamDataError("sample 1 has no image"), "sample 1 has no image", False),
        (OSError("disk"), "sample 1: disk; correct or remove the sample.", False),
        (DamagedSampleError("flipped bit"), "sample 1: flipped bit", True),
    ],
)
def test_an_unusable_sample_is_named_in_its_own_class(error, problem, tolerated):
    guarded = GuardedDataset(Broken(["fine", error]), name=lambda index: f"sample {index}")
    assert guarded[0] == (0, "fine")
    index, found = guarded[1]
    assert index == 1
    assert isinstance(found, Unusable)
    assert (found.problem, found.tolerated) == (problem, tolerated)


def test_errors_that_are_not_about_files_pass():
    with pytest.raises(KeyError):
        GuardedDataset(Broken([KeyError("a fault in the code")]))[0]
