"""The helpers that LAVIS misses in transformers 5, and how little is touched."""

import importlib.util
import sys

import lavis.models.blip2_models.modeling_t5 as lavis_t5
import pytest
import torch
import transformers.modeling_utils
import transformers.pytorch_utils

from lavis_sam.plugin import compatibility

NAMES = ("apply_chunking_to_forward", "find_pruneable_heads_and_indices", "prune_linear_layer")


def test_lavis_has_every_name_it_asks_for():
    for name in NAMES:
        assert getattr(transformers.modeling_utils, name) is getattr(transformers.pytorch_utils, name)
    assert callable(lavis_t5.get_device_map)


def test_what_exists_is_left_alone(monkeypatch):
    monkeypatch.setattr(transformers.modeling_utils, "prune_linear_layer", "theirs")
    compatibility.prepare()
    compatibility.tidy()
    assert transformers.modeling_utils.prune_linear_layer == "theirs"


@pytest.mark.parametrize(
    ("heads", "n_heads", "already", "to_prune", "kept"),
    [
        ([1], 3, [], {1}, [0, 1, 4, 5]),
        # Heads 1 and 2 are left of three: head 1 is now the first.
        ([1], 2, [0], {1}, [2, 3]),
        # Head 0 has gone before; pruning it again changes nothing.
        ([0, 2], 2, [0], {2}, [0, 1]),
        ([], 2, [], set(), [0, 1, 2, 3]),
    ],
)
def test_pruning_keeps_the_columns_of_the_other_heads(heads, n_heads, already, to_prune, kept):
    for module in (compatibility, transformers.pytorch_utils):
        found, index = module.find_pruneable_heads_and_indices(heads, n_heads, 2, set(already))
        assert found == to_prune
        assert index.tolist() == kept
        assert index.dtype == torch.int64


@pytest.mark.parametrize("module", [compatibility, lavis_t5])
def test_layers_are_spread_over_devices(module):
    assert module.get_device_map(5, [0, 1]) == {0: [0, 1, 2], 1: [3, 4]}
    assert module.get_device_map(2, [0, 1, 2]) == {0: [0], 1: [1]}
    module.assert_device_map({0: [0, 1, 2], 1: [3, 4]}, 5)
    for wrong in ({0: [0, 1]}, {0: [0, 1, 2], 1: [2]}, {0: [0, 1, 2, 3]}):
        with pytest.raises(ValueError, match=r"(?i)blocks"):
            module.assert_device_map(wrong, 3)


def test_no_stand_in_is_left_in_place():
    for name in ("spacy", "decord"):
        module = sys.modules.get(name)
        assert module is None or module.__file__
    assert importlib.util.find_spec("transformers.utils.model_parallel_utils") is not None
