"""How features are stored, what that costs, and what cannot be stored."""

import pytest
import torch

from lavis_sam.errors import SamDataError
from lavis_sam.features.precision import StorageError, decode, encode, entry_bytes, storage_error

# Of what a normalised feature is: half precision keeps 11 and 8 bits, a byte 254 steps from end to end.
RELATIVE = {"fp32": 0.0, "fp16": 3e-4, "bf16": 3e-3, "int8": 1e-2}


@pytest.fixture
def exact():
    return torch.randn(3, 17, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("precision", RELATIVE)
def test_precision_error_is_measured_and_bounded(exact, precision):
    stored = encode(exact, precision)
    measured = storage_error(exact, stored)
    difference = (decode(stored).float() - exact).double()
    assert measured.relative == pytest.approx(float(difference.norm() / exact.double().norm()))
    assert measured.largest == float(difference.abs().max())
    assert measured.relative <= RELATIVE[precision]
    assert (measured.relative == 0) == (precision == "fp32")


def test_precision_int8_keeps_small_channels_beside_a_large_one(exact):
    exact[:, :, 0] *= 1000
    assert storage_error(exact[..., 1:], encode(exact[..., 1:], "int8")).relative < RELATIVE["int8"]
    restored = decode(encode(exact, "int8"))
    assert (restored[..., 1:] - exact[..., 1:]).norm() / exact[..., 1:].norm() < RELATIVE["int8"]


def test_precision_int8_of_a_channel_without_values_is_zero(exact):
    exact[1] = 0
    assert torch.equal(decode(encode(exact, "int8"))[1], exact[1])


@pytest.mark.parametrize(("precision", "value"), [("fp32", float("nan")), ("int8", float("inf")), ("fp16", 1e6)])
def test_precision_refuses_what_is_not_finite(exact, precision, value):
    exact[0, 0, 0] = value
    with pytest.raises(SamDataError, match=f"not finite in {precision}"):
        encode(exact, precision)


@pytest.mark.parametrize("precision", RELATIVE)
def test_precision_entry_bytes_are_those_of_the_tensors(exact, precision):
    stored = encode(exact, precision)
    assert 3 * entry_bytes(17, 8, precision) == sum(tensor.nbytes for tensor in stored.values())


def test_precision_errors_add_up(exact):
    parts, whole = StorageError(), storage_error(exact, encode(exact, "bf16"))
    for part in exact:
        parts.add(storage_error(part[None], encode(part[None], "bf16")))
    assert parts.relative == pytest.approx(whole.relative)
    assert parts.largest == whole.largest
    assert StorageError().relative == 0
