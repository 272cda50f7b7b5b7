"""Registered names: found, or the valid ones listed."""

import pytest
from lavis.runners import RunnerBase

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.registry import registered_class


@pytest.mark.parametrize(
    ("kind", "name", "wrong"),
    [
        ("model", "blip2_vicuna_sam", "blip2_vicuna_spam"),
        ("task", "multi_image_captioning", "multi_image_caption"),
        ("runner", "runner_sam", "runner_spam"),
        ("data set", "mmlink", "mm_link"),
        ("processor", "sam_text", "sam_texts"),
        ("learning-rate schedule", "linear_warmup_cosine_step_lr", "linear_warmup_cosine_steps_lr"),
    ],
)
def test_our_names_are_found_and_wrong_ones_are_answered(kind, name, wrong):
    assert registered_class(kind, name, "place").__module__.startswith("lavis_sam.")
    with pytest.raises(SamConfigurationError) as caught:
        registered_class(kind, wrong, "run.key")
    message = str(caught.value)
    assert message.startswith(f"run.key: unknown {kind} {wrong!r}. Did you mean {name!r}? Valid: ")


def test_lavis_own_names_are_found():
    assert registered_class("runner", "runner_base", "place") is RunnerBase


@pytest.mark.parametrize("name", [None, 3, ["runner_sam"], ""])
def test_what_is_no_name_is_answered_too(name):
    with pytest.raises(SamConfigurationError, match="Valid: runner_base"):
        registered_class("runner", name, "run.runner")


def test_nothing_near_means_no_guess():
    assert unknown_name("key", "zzz", ["alpha"], "run") == "run: unknown key 'zzz'. Valid: alpha."
