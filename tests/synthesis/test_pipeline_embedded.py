"""Whole pairs on the embedded backends: what the answer says is what the generator drew, where it says it did."""

import dataclasses

import numpy as np
import pytest

from lavis_sam.synthesis.configuration import SynthesisSettings, read_config
from lavis_sam.synthesis.pipeline import visible_masks
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.records import Attempt, Draft
from lavis_sam.synthesis.registry import PipelineBuilder

COUNTS = {"characters": 2, "furniture": 2, "icons": 6, "covers": 6}


@pytest.fixture(scope="module")
def pairs():
    """Kind -> its first accepted pairs: the packaged configuration, but with exact masks, which save time."""
    settings = SynthesisSettings.from_config(read_config())
    limits = {name: limit for name, limit in settings.quality.items() if name != "background.extra_salient"}
    pipeline = PipelineBuilder(dataclasses.replace(settings, use_source_masks=True, quality=limits)).pipeline()
    found = {}
    for kind, wanted in COUNTS.items():
        results = [pipeline.run([Attempt(5, slot, 0, kind)])[0] for slot in range(wanted + 1)]
        found[kind] = [result for result in results if isinstance(result, Draft)]
        assert len(found[kind]) >= wanted - 1, [result for result in results if not isinstance(result, Draft)]
    return found


@pytest.mark.parametrize("kind", COUNTS)
def test_the_answer_mentions_every_true_attribute(pairs, kind):
    for draft in pairs[kind]:
        main = draft.plan.objects[draft.plan.images[0].actors[0].object]
        assert main.required_words
        for word in main.required_words:
            assert mentions(draft.output, word), (draft.output, main.required_words)
        if kind == "characters":
            assert main.required_words[0] == main.recipe.person
            assert set(main.required_words[1:]) == {garment.words for garment in main.recipe.clothes}
        if kind == "covers":
            facts = [dict(view.attributes) for view in main.views]
            for name in ("author", "genre"):
                assert (facts[0][name] == facts[1][name]) is mentions(draft.output, facts[0][name])


@pytest.mark.parametrize("kind", ["characters", "furniture", "icons"])
def test_the_shared_object_is_in_both_images_and_all_others_in_one(pairs, kind):
    for draft in pairs[kind]:
        shown = [{actor.object for actor in image.actors} for image in draft.plan.images]
        shared = shown[0] & shown[1]
        assert shared == {draft.plan.images[0].actors[0].object}
        labels = [obj.label for obj in draft.plan.objects]
        assert len(set(labels)) == len(labels), "nothing else looks like it"
        assert all(len(objects) > 1 for objects in shown), "each image has something of its own"
        for index, image in enumerate(draft.plan.images):
            masks = visible_masks(draft, index)
            assert len(masks) == len(image.actors)
            assert min(mask.mean() for mask in masks) >= 0.01, "everything can be seen"


def test_objects_in_images_are_pixel_for_pixel_what_was_drawn(pairs):
    draft = pairs["furniture"][0]
    for composite, image in zip(draft.composites, draft.images, strict=True):
        opaque = composite.alpha >= 0.999
        assert np.abs(image[opaque].astype(int) - composite.colour[opaque]).max() <= 1
