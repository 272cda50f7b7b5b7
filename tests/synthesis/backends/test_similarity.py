"""CLIP's and SigLIP's similarities, with tiny random weights in their real layouts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

from helpers.synthesis import FakeInpainter, composed
from lavis_sam.synthesis.backends.similarity import BACKGROUND, OBJECT, ClipScorer
from lavis_sam.synthesis.protocols import ScoreRequest
from lavis_sam.synthesis.quality import SCORES
from lavis_sam.synthesis.stages.inpaint import InpaintStage

BOTH = ("clip", "siglip")


def finished(*paired, layout="scene", slot=0):
    (draft,) = InpaintStage(FakeInpainter(), fill=127)([composed(*paired, layout=layout, slot=slot)])
    return ScoreRequest(draft.images, draft.composites, draft.plan.images, draft.backgrounds)


def embedded(folder, crop=None, text=None):
    """One vector, by transformers alone."""
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    with torch.no_grad():
        if crop is not None:
            pixels = processor(images=Image.fromarray(crop), return_tensors="pt")["pixel_values"]
            found = model.get_image_features(pixel_values=pixels)
        else:
            length = model.config.text_config.max_position_embeddings
            read = processor(text=[text], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
            found = model.get_text_features(**read)
    return getattr(found, "pooler_output", found)[0]


@pytest.mark.parametrize("name", BOTH)
def test_similarities_are_transformers_own(name, model_folder):
    request = finished(None, None)
    (scores,) = ClipScorer(model_folder(name), device="cpu").score([request])
    assert set(scores) == {OBJECT, BACKGROUND} <= set(SCORES)
    crops = []
    for image, composite in zip(request.images, request.composites, strict=True):
        left, top, width, height = composite.layers[0].box
        crops.append(image[max(top, 0) : top + height, max(left, 0) : left + width])
    first, second = (embedded(model_folder(name), crop) for crop in crops)
    assert scores[OBJECT] == (pytest.approx(float(torch.cosine_similarity(first, second, dim=0)), abs=1e-5),)
    for image, background, value in zip(request.images, request.backgrounds, scores[BACKGROUND], strict=True):
        wanted = torch.cosine_similarity(
            embedded(model_folder(name), image), embedded(model_folder(name), text=background.text), dim=0
        )
        assert value == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_similarities_depend_on_their_request_alone(name, model_folder):
    requests = [finished(None, None, slot=slot) for slot in range(3)]
    alone = ClipScorer(model_folder(name), device="cpu").score(requests[2:])[0]
    assert ClipScorer(model_folder(name), device="cpu").score(requests)[2] == alone
    together = ClipScorer(model_folder(name), device="cpu", batch_size=8).score(requests)[2]
    for key, values in alone.items():
        assert together[key] == pytest.approx(values, abs=1e-5)


def test_an_object_is_as_similar_as_can_be_to_itself(model_folder):
    request = finished(None, None)
    twice = replace(request, images=request.images[:1] * 2, composites=request.composites[:1] * 2)
    (scores,) = ClipScorer(model_folder("clip"), device="cpu").score([twice])
    assert scores[OBJECT] == (pytest.approx(1.0, abs=1e-6),)


def test_an_object_in_one_image_has_no_similarity(model_folder):
    (scores,) = ClipScorer(model_folder("clip"), device="cpu").score([finished(None)])
    assert set(scores) == {BACKGROUND}


def test_grids_are_not_scored(model_folder):
    (scores,) = ClipScorer(model_folder("clip"), device="cpu").score([finished(None, None, layout="grid")])
    assert scores == {}


def test_a_long_description_is_cut_to_what_the_model_reads(model_folder):
    request = finished(None)
    long = replace(request, backgrounds=(replace(request.backgrounds[0], text="Standing in a meadow " * 40),))
    (scores,) = ClipScorer(model_folder("clip"), device="cpu").score([long])
    assert np.isfinite(scores[BACKGROUND]).all()
