"""Classes are asked for by their registered names, and unknown names are answered with the known ones."""

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.registry import registered_class
from lavis_sam.plugin.runner import RunnerSam


def test_a_registered_name_gives_its_class():
    assert registered_class("runner", "runner_sam", "run.runner") is RunnerSam


@pytest.mark.parametrize("name", ["runner_spam", None, 3])
def test_an_unknown_name_is_answered_with_its_place_and_the_known_ones(name):
    with pytest.raises(SamConfigurationError, match=r"run\.runner.*runner_sam"):
        registered_class("runner", name, "run.runner")
