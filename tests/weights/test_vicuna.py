"""Versions of Vicuna: told by their configuration, and refused where InstructBLIP was trained on another one."""

import json

import pytest

from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.vicuna import guess_version, refuse_other_version

REAL = {"model_type": "llama", "hidden_size": 4096, "vocab_size": 32000, "rms_norm_eps": 1e-6}


@pytest.mark.parametrize(
    ("config", "name", "is_wanted"),
    [
        ({}, "v1.1 or v1.3", True),
        ({"hidden_size": 5120}, "v1.1 or v1.3", True),
        ({"_name_or_path": "lmsys/vicuna-7b-v1.1"}, "v1.1", True),
        ({"_name_or_path": "lmsys/vicuna-7b-v1.3"}, "v1.3", False),
        ({"vocab_size": 32001}, "v0", False),
        ({"max_position_embeddings": 4096}, "v1.5", False),
        ({"rms_norm_eps": 1e-5}, "v1.5", False),
        ({"model_type": "opt"}, "unknown", None),
        ({"hidden_size": 8192}, "unknown", None),
        ({"vocab_size": 128256, "max_position_embeddings": 8192}, "unknown", None),  # Llama 3
    ],
)
def test_vicunas_by_their_configuration(config, name, is_wanted):
    version = guess_version(REAL | config)
    assert (version.name, version.is_wanted) == (name, is_wanted)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vocab_size": 32001}, "this is Vicuna v0 \\(a vocabulary of 32001"),
        ({"max_position_embeddings": 4096, "rms_norm_eps": 1e-5}, "this is Vicuna v1.5"),
        ({"_name_or_path": "lmsys/vicuna-7b-v1.3"}, "this is Vicuna v1.3"),
    ],
)
def test_another_vicuna_is_refused_before_its_weights_are_read(tmp_path, changes, words):
    (tmp_path / "config.json").write_text(json.dumps(REAL | changes))
    with pytest.raises(SamCheckpointError, match=f"{words}.*InstructBLIP was trained on Vicuna v1.1"):
        refuse_other_version(tmp_path)
