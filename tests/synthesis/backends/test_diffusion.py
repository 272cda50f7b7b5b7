"""Inpainting with diffusers' pipelines, with tiny random weights in their real layouts."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import synthesis_models
from helpers.synthesis import composed
from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.synthesis.backends.diffusion import DiffusionInpainter
from lavis_sam.synthesis.protocols import InpaintRequest
from lavis_sam.synthesis.quality import Limits, first_violation
from lavis_sam.synthesis.records import Draft
from lavis_sam.synthesis.stages.base import Failure
from lavis_sam.synthesis.stages.inpaint import InpaintStage


def inpainter(model_folder, name="stable_diffusion", **options):
    return DiffusionInpainter(model_folder(name), device="cpu", **{"steps": 2, **options})


def request(slot=0, seed=0):
    draft = composed(None, slot=slot)
    return InpaintRequest(np.random.default_rng(seed), draft.composites[0], draft.backgrounds[0], draft.composites)


def painted(made, *requests):
    return list(made.inpaint(requests))


@pytest.mark.parametrize("name", ["stable_diffusion", "stable_diffusion_xl", "flux_fill"])
def test_inpainter_paints_an_image_of_the_canvas_size_and_repeats_it(name, model_folder):
    (first,) = painted(inpainter(model_folder, name), request())
    (second,) = painted(inpainter(model_folder, name), request())
    (other,) = painted(inpainter(model_folder, name), request(seed=1))
    assert (first.shape, first.dtype) == ((96, 96, 3), np.uint8)
    assert (first == second).all()
    assert not (first == other).all()


def test_inpainter_answers_each_request_by_itself(model_folder):
    (alone,) = painted(inpainter(model_folder), request(slot=1, seed=1))
    assert (painted(inpainter(model_folder), request(), request(slot=1, seed=1))[1] == alone).all()
    together = painted(inpainter(model_folder, batch_size=2), request(), request(slot=1, seed=1))[1]
    assert np.abs(together.astype(int) - alone).max() <= 2


def test_inpainter_that_repaints_the_subject_is_measured_and_undone(model_folder):
    """Random weights repaint everything, as bad as it gets."""
    (result,) = InpaintStage(inpainter(model_folder), fill=127)([composed(None)])
    assert isinstance(result, Draft)
    assert result.scores["subject.difference"][0] > 24
    assert result.scores["subject.pasted"] == (0.0,)
    violation = first_violation(result.scores, {"subject.difference": Limits(max=24)})
    assert violation is not None
    assert violation.wanted == "at most 24"


class FakePipeline:
    """Remembers what it is asked for, and gives it back: white where it may paint."""

    def __init__(self, change=lambda images: images, flagged=None):
        self.calls, self._change, self._flagged = [], change, flagged

    def __call__(self, **asked):
        self.calls.append(asked)
        images = np.stack([np.asarray(mask, float) / 255 for mask in asked["mask_image"]])
        images = self._change(np.repeat(images[..., None], 3, axis=-1))
        return SimpleNamespace(images=images, nsfw_content_detected=self._flagged)


def with_pipeline(model_folder, pipeline, **options):
    made = inpainter(model_folder, **options)
    made.__dict__["_pipeline"] = pipeline  # in place of the cached property
    return made


def test_inpainter_asks_for_the_place_around_the_objects(model_folder):
    pipeline, asked = FakePipeline(), request()
    made = with_pipeline(model_folder, pipeline, negative_prompt="people", guidance=3.5, strength=0.9, size=40)
    (image,) = painted(made, asked)
    (call,) = pipeline.calls
    assert call["prompt"] == [asked.background.text]
    assert call["negative_prompt"] == ["people"]
    assert (call["num_inference_steps"], call["guidance_scale"], call["strength"]) == (2, 3.5, 0.9)
    assert (call["width"], call["height"], call["image"][0].size) == (48, 48, (48, 48))
    assert (image.shape, image.dtype) == ((96, 96, 3), np.uint8)
    inside, outside = asked.composite.alpha > 0.999, asked.composite.alpha == 0
    assert image[inside].mean() < 40
    assert image[outside].mean() > 215


def test_inpainter_says_what_the_safety_checker_refused_and_keeps_the_others(model_folder):
    made = with_pipeline(model_folder, FakePipeline(flagged=[True, False]), batch_size=2)
    results = InpaintStage(made, fill=127)([composed(None), composed(None, slot=1)])
    assert isinstance(results[0], Failure)
    assert "safety checker" in results[0].message
    assert isinstance(results[1], Draft)
    assert len(made._pipeline.calls) == 1


def test_inpainter_refuses_images_that_are_no_numbers(model_folder):
    (answer,) = painted(with_pipeline(model_folder, FakePipeline(lambda images: images * np.nan)), request())
    assert isinstance(answer, SamDataError)
    assert "fp32 or bf16" in str(answer)


@pytest.mark.integration
def test_inpainter_takes_a_text_to_image_folder(tmp_path):
    folder = synthesis_models.write_stable_diffusion(tmp_path / "text", text_to_image=True)
    made = DiffusionInpainter(str(folder), device="cpu", steps=2)
    (image,) = painted(made, request())
    assert type(made._pipeline).__name__ == "StableDiffusionInpaintPipeline"
    assert image.std() > 0


def test_inpainter_refuses_an_option_that_its_pipeline_does_not_have(model_folder):
    with pytest.raises(SamConfigurationError, match=r"FluxFillPipeline of diffusers .* takes no negative_prompt"):
        painted(inpainter(model_folder, "flux_fill", negative_prompt="people"), request())


@pytest.mark.parametrize("index", ["{", "[]", '{"_class_name": 3}', '{"_class_name": "os"}', None])
def test_inpainter_refuses_a_folder_that_is_no_pipeline(index, tmp_path):
    if index is not None:
        (tmp_path / "model_index.json").write_text(index)
    made = DiffusionInpainter(str(tmp_path), device="cpu", steps=2)
    with pytest.raises(SamCheckpointError, match=r"stages\.inpaint\.model"):
        painted(made, request())


def test_inpainter_runs_no_code_that_came_with_the_folder(model_folder, tmp_path):
    folder = shutil.copytree(model_folder("stable_diffusion"), tmp_path / "foreign")
    (folder / "pipeline.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": ["pipeline", "Foreign"]}))
    with pytest.raises((SamCheckpointError, SamConfigurationError)):
        painted(DiffusionInpainter(str(folder), device="cpu"), request())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"stages\.inpaint\.steps: found 0, wanted 1 or more"),
        ({"size": 0}, r"stages\.inpaint\.size: found 0"),
        ({"strength": 1.5}, r"stages\.inpaint\.strength: found 1\.5, wanted above 0"),
    ],
)
def test_inpainter_options_out_of_range(options, message, model_folder):
    with pytest.raises(SamConfigurationError, match=message):
        inpainter(model_folder, **options)
