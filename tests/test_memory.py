"""Memory that ran out is told by its error, whoever raised it, and named with the samples."""

import pytest
import torch

from lavis_sam.errors import SamConfigurationError
from lavis_sam.memory import is_out_of_memory, naming_samples, peak_bytes


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_out_of_memory_names_the_samples_and_the_remedy():
    words = r"out of memory while answering a, b \(no room\)\. Take fewer\."
    with pytest.raises(SamConfigurationError, match=words), naming_samples(lambda: "answering a, b", "Take fewer."):
        raise MemoryError("no room\nand a long trace")


def test_other_errors_pass_and_nobody_asks_for_names():
    with pytest.raises(KeyError, match="other"), naming_samples(lambda: pytest.fail("asked"), "Take fewer."):
        raise KeyError("other")


def test_peak_memory_of_a_process_is_in_bytes():
    assert 10**7 < peak_bytes(torch.device("cpu")) < 10**13
