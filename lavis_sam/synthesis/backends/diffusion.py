"""Inpainting with a diffusion model, in diffusers' format: Stable Diffusion, SDXL, Flux Fill and their kin.

Such models alter what they are asked to keep. The stage measures by how much and pastes the objects back, so nothing
is undone here.
"""

import functools
import inspect
import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.files import load_json
from lavis_sam.memory import naming_samples
from lavis_sam.synthesis.backends.local_model import REMEDY, LocalModel
from lavis_sam.synthesis.protocols import InpaintRequest
from lavis_sam.synthesis.quality import THRESHOLD
from lavis_sam.synthesis.records import Rgb

# All known models want sides that are multiples of this, most of a smaller power of two.
_SIDE_UNIT = 16
_INDEX = "model_index.json"


class DiffusionInpainter:
    """Paints what is not an object, asked for by the background's description."""

    name = "diffusers"

    def __init__(
        self,
        model: str,
        device: str | None = None,
        precision: str | None = None,
        batch_size: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        strength: float | None = None,
        negative_prompt: str | None = None,
        size: int | None = None,
    ) -> None:
        """Look for the model.

        Args:
            model: A folder, or a hub's name that is in the local cache.
            device: See `LocalModel`.
            precision: See `LocalModel`.
            batch_size: Images that are painted together. With 1 an answer depends on its request alone to the last bit.
            steps: Of denoising; None, here and below, takes the pipeline's own default.
            guidance: How closely the text is followed.
            strength: How far what is repainted is noised first, up to 1; below 1 the empty canvas shines through.
            negative_prompt: What shall not be there.
            size: Side at which the model paints, for one that was trained at 1024; None takes the finished image's.

        Raises:
            SamConfigurationError: Options out of range, no such model, or diffusers is not installed.
        """
        problems = []
        for option, value in (("steps", steps), ("size", size)):
            if value is not None and value < 1:
                problems.append(f"stages.inpaint.{option}: found {value}, wanted 1 or more.")
        if strength is not None and not 0 < strength <= 1:
            problems.append(f"stages.inpaint.strength: found {strength:g}, wanted above 0 and at most 1.")
        if problems:
            raise SamConfigurationError("\n".join(problems))
        self._local = LocalModel(
            "inpaint", model, device=device, precision=precision, batch_size=batch_size, packages=("diffusers",)
        )
        self.version = self._local.version
        self._size = size
        options = {"num_inference_steps": steps, "guidance_scale": guidance, "strength": strength}
        self._options = {name: value for name, value in options.items() if value is not None}
        self._negative_prompt = negative_prompt

    def inpaint(self, requests: Sequence[InpaintRequest]) -> list[Rgb | SamDataError]:
        """See `Inpainter.inpaint`; an image that the model refused or could not compute is an error."""
        # Drawn before the batches: a batch that is tried again must not get other numbers.
        seeded = [(request, int(request.rng.integers(2**63))) for request in requests]
        return self._local.in_batches(self._paint, seeded)

    @functools.cached_property
    def _pipeline(self) -> Any:
        import diffusers
        from diffusers.utils import is_accelerate_available

        with naming_samples(lambda: f"loading {self._local.folder} to {self._local.device}", REMEDY):
            pipeline = self._local.load(
                self._pipeline_class(),
                dtype=self._local.dtype,
                use_safetensors=True,
                # Needs accelerate, which is no must.
                low_cpu_mem_usage=is_accelerate_available(),
            )
            pipeline = pipeline.to(self._local.device)
        pipeline.set_progress_bar_config(disable=True)
        # SDXL's logs four lines an image about a cast that it makes on purpose.
        diffusers.utils.logging.set_verbosity_error()
        known = inspect.signature(pipeline.__call__).parameters
        wanted = {**self._options, **({"negative_prompt": ""} if self._negative_prompt is not None else {})}
        if unknown := [name for name in ("image", "mask_image", *wanted) if name not in known]:
            raise SamConfigurationError(
                f"stages.inpaint: {type(pipeline).__name__} of diffusers {diffusers.__version__} takes no "
                f"{', '.join(unknown)}. Leave these options out, or choose another model."
            )
        return pipeline

    def _pipeline_class(self) -> Any:
        """Return the folder's own class where that is one that inpaints, otherwise its sibling that does."""
        import diffusers

        try:
            index = load_json(self._local.folder / _INDEX)
            name = index["_class_name"]
        except (OSError, ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise SamCheckpointError(
                f"stages.inpaint.model: {self._local.folder / _INDEX} names no pipeline ({error}). Bring a folder of "
                "diffusers' format."
            ) from error
        found = getattr(diffusers, name, None) if isinstance(name, str) else None
        if isinstance(found, type) and "mask_image" in inspect.signature(found.__call__).parameters:
            return found
        return diffusers.AutoPipelineForInpainting

    def _paint(self, batch: Sequence[tuple[InpaintRequest, int]]) -> list[Rgb | SamDataError]:
        import torch
        from PIL import Image

        side = batch[0][0].composite.canvas.shape[0]
        painted_side = -(-(self._size or side) // _SIDE_UNIT) * _SIDE_UNIT
        requests = [request for request, _ in batch]
        more = {} if self._negative_prompt is None else {"negative_prompt": [self._negative_prompt] * len(batch)}
        found = self._pipeline(
            prompt=[request.background.text for request in requests],
            image=[Image.fromarray(_resized(request.composite.canvas, painted_side)) for request in requests],
            mask_image=[Image.fromarray(_resized(_to_paint(request), painted_side)) for request in requests],
            height=painted_side,
            width=painted_side,
            # The CPU's generator gives the same noise whatever the device and the batch.
            generator=[torch.Generator("cpu").manual_seed(seed) for _, seed in batch],
            output_type="np",
            **self._options,
            **more,
        )
        flagged = getattr(found, "nsfw_content_detected", None) or [False] * len(batch)
        return [_image(image, bool(flag), side) for image, flag in zip(found.images, flagged, strict=True)]


def _to_paint(request: InpaintRequest) -> Any:
    """Return [S, S] white where the model shall paint."""
    return np.where(request.composite.alpha < THRESHOLD, np.uint8(255), np.uint8(0))


def _image(painted: Any, is_flagged: bool, side: int) -> Rgb | SamDataError:
    if is_flagged:
        return SamDataError("the inpainting model's safety checker refused its image")
    if not np.isfinite(painted).all():
        return SamDataError(
            "the inpainting model computed no image (NaN); choose the precision fp32 or bf16 in stages.inpaint"
        )
    return _resized(np.round(np.clip(painted, 0, 1) * 255).astype(np.uint8), side)


def _resized(image: Any, side: int) -> Any:
    if image.shape[0] == side and image.shape[1] == side:
        return np.ascontiguousarray(image)
    shrinks = side < image.shape[0]
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
