"""Drafts of one form, on fake sources."""

from collections import Counter

from helpers.synthesis import config
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.records import Attempt, Draft, Rejection
from lavis_sam.synthesis.registry import PipelineBuilder

TRIES = 60


def drafts(form, kind, count=TRIES, **changes):
    """Finished drafts of one form and kind."""
    sources = {"characters": {"backend": "helpers.synthesis:FakeChanging"}}
    plain = config(form=form, kinds={kind: 1}, sources=sources, **changes)
    pipeline = PipelineBuilder(SynthesisSettings.from_config(plain)).pipeline()
    made = pipeline.run([Attempt(0, slot, 0, kind) for slot in range(count)])
    finished = [draft for draft in made if isinstance(draft, Draft)]
    assert len(finished) >= 0.7 * count, Counter(m.limit for m in made if isinstance(m, Rejection)).most_common(3)
    return finished


def looks(draft, image):
    return [draft.plan.objects[layer.actor.object].label for layer in draft.composites[image].layers]
