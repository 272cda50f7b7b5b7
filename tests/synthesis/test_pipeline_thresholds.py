"""Each threshold acts: it alone turns a sample that would pass into a rejection, at its own stage."""

import pytest

from helpers.synthesis import config
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.quality import SCORES
from lavis_sam.synthesis.records import Attempt, Draft, Rejection
from lavis_sam.synthesis.registry import PipelineBuilder

STAGE_OF = {
    "mask": "segment",
    "composite": "composite",
    "subject": "inpaint",
    "background": "inpaint",
    "semantic": "inpaint",
    "text": "write",
}
# Near duplicates are judged over the whole set (test_run.py).
JUDGED_ALONE = [name for name in SCORES if not name.startswith("duplicates.")]


def run(quality):
    here = "helpers.synthesis:"
    stages = {"segment": {"backend": f"{here}ConfidentSegmenter"}, "score": {"backend": f"{here}FakeScorer"}}
    settings = SynthesisSettings.from_config({**config(kinds={"characters": 1}, stages=stages), "quality": quality})
    (result,) = PipelineBuilder(settings).pipeline().run([Attempt(0, 1, 0, "characters")])
    return result


def test_without_thresholds_the_sample_passes_and_has_every_score():
    result = run({"background.extra_salient": {"max": 1.0}})
    assert isinstance(result, Draft)
    assert set(result.scores) == set(JUDGED_ALONE)
    assert all(values for values in result.scores.values())


@pytest.mark.parametrize("name", JUDGED_ALONE)
def test_a_threshold_alone_rejects_under_its_own_name(name):
    result = run({name: {"max": -1.0}})
    assert isinstance(result, Rejection)
    assert (result.reason, result.stage) == (name, STAGE_OF[name.split(".")[0]])
    assert result.value is not None
    assert result.limit == "at most -1"
