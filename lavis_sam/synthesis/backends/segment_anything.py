"""Segment Anything (Kirillov et al. 2023) and Segment Anything 2 (Ravi et al. 2024), in transformers' format.

The image is encoded once. Where the source gives a box or points, they are the prompt. Where it gives neither, a grid
of points is: of all masks that the model is sure of and that are not the background, the largest is the object; a
dress is part of a person, and a cushion of a sofa.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.backends.local_model import LocalModel
from lavis_sam.synthesis.protocols import SegmentRequest
from lavis_sam.synthesis.records import Rgb, SoftMask

if TYPE_CHECKING:
    import torch

# What the authors' automatic masks have to reach: the model's own estimate, and the overlap of a mask that is cut one
# logit too high with one that is cut one too low.
_LEAST_IOU, _LEAST_STABILITY, _OFFSET = 0.88, 0.95, 1.0
# What touches more of the image's border than this is what the object stands before.
_MOST_BORDER = 0.5


class SegmentAnything:
    """The first model: facebook/sam-vit-base, -large, -huge."""

    name = "segment_anything"
    _model_class, _processor_class = "SamModel", "SamProcessor"

    def __init__(
        self,
        model: str,
        device: str | None = None,
        precision: str | None = None,
        batch_size: int = 1,
        points_per_side: int = 16,
        points_per_batch: int = 64,
    ) -> None:
        """Look for the model.

        Args:
            model: A folder, or a hub's name that is in the local cache.
            device: See `LocalModel`.
            precision: Of the image encoder, which takes nearly all of the time; the rest stays in fp32.
            batch_size: Images that are encoded together. With 1 an answer depends on its image alone to the last bit.
            points_per_side: Of the grid, for images without a box and points.
            points_per_batch: Of the grid, asked about together.

        Raises:
            SamConfigurationError: Options out of range, or no such model.
        """
        for option, value in (("points_per_side", points_per_side), ("points_per_batch", points_per_batch)):
            if value < 1:
                raise SamConfigurationError(f"stages.segment.{option}: found {value}, wanted 1 or more.")
        self._local = LocalModel("segment", model, device=device, precision=precision, batch_size=batch_size)
        self._points_per_side, self._points_per_batch = points_per_side, points_per_batch
        self.version = self._local.version

    def segment(self, images: Sequence[Rgb]) -> list[SoftMask]:
        """See `Segmenter.segment`."""
        return self.segment_prompted([SegmentRequest(image) for image in images])

    def segment_prompted(self, requests: Sequence[SegmentRequest]) -> list[SoftMask]:
        """See `PromptedSegmenter.segment_prompted`."""
        return self._local.in_batches(self._segment, requests)

    @functools.cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Model and processor."""
        import torch
        import transformers

        model = self._local.load_weights(getattr(transformers, self._model_class), dtype=torch.float32)
        return model, self._local.load(getattr(transformers, self._processor_class))

    def _segment(self, requests: Sequence[SegmentRequest]) -> list[SoftMask]:
        import torch
        from PIL import Image

        model, processor = self._parts
        device = self._local.device
        inputs = processor.image_processor(
            [Image.fromarray(request.image) for request in requests], return_tensors="pt"
        )
        pixels = inputs["pixel_values"].to(device)
        with torch.autocast(device.type, self._local.dtype, enabled=self._local.precision != "fp32"):
            encoded = model.get_image_embeddings(pixels)
        answers = []
        for place, request in enumerate(requests):
            # The second model gives a list of finer and finer features, the first one alone.
            own: Any = encoded[place : place + 1].float() if isinstance(encoded, torch.Tensor) else None
            own = [level[place : place + 1].float() for level in encoded] if own is None else own
            padded = tuple(pixels.shape[-2:])
            fed = tuple(int(side) for side in inputs["reshaped_input_sizes"][place]) if _pads(inputs) else padded
            logits, predicted = self._choose(own, request, fed, padded)
            (whole,) = processor.image_processor.post_process_masks(
                [logits[None, None]], [request.image.shape[:2]], reshaped_input_sizes=[fed], binarize=False
            )
            answers.append(SoftMask(torch.sigmoid(whole[0, 0]).cpu().numpy().astype(np.float32), float(predicted)))
        return answers

    def _choose(
        self, encoded: Any, request: SegmentRequest, fed: tuple[int, ...], padded: tuple[int, ...]
    ) -> tuple["torch.Tensor", float]:
        """Return logits [h, w] of the object, padding included, and the model's estimate of their quality."""
        height, width = request.image.shape[:2]
        scale = np.array([fed[1] / width, fed[0] / height])
        if request.box is not None or request.points:
            return self._prompted(encoded, request, scale)
        grid = _grid(self._points_per_side) * np.array([width, height]) * scale
        best: tuple[tuple[bool, float], Any, float] | None = None
        for start in range(0, len(grid), self._points_per_batch):
            masks, scores = self._decode(encoded, points=grid[start : start + self._points_per_batch, None])
            shown = masks[:, : -(-masks.shape[1] * fed[0] // padded[0]), : -(-masks.shape[2] * fed[1] // padded[1])]
            for place, rank in enumerate(_ranks(shown, scores)):
                if best is None or rank > best[0]:
                    best = rank, masks[place], float(scores[place])
        if best is None:
            raise SamConfigurationError("stages.segment: the model gave no mask at all.")
        return best[1], best[2]

    def _prompted(self, encoded: Any, request: SegmentRequest, scale: np.ndarray) -> tuple["torch.Tensor", float]:
        """Choose a mask: a box means one object; points may mean a part or the whole, the model says what is surer."""
        points = np.array(request.points, float)[None] * scale if request.points else None
        box = None if request.box is None else (np.array(request.box, float).reshape(2, 2) * scale).reshape(4)
        masks, scores = self._decode(encoded, points=points, box=box)
        place = int(scores.argmax())
        return masks[place], float(scores[place])

    def _decode(
        self, encoded: Any, *, points: np.ndarray | None = None, box: np.ndarray | None = None
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return masks as logits [M, h, w] and the model's estimates [M].

        Args:
            points: [P, n, 2], n points of each of P objects, in pixels of what the model sees.
            box: [4] left, top, right, bottom.
        """
        import torch

        model = self._parts[0]
        prompt: dict[str, Any] = {}
        if points is not None:
            prompt["input_points"] = torch.tensor(points[None], dtype=torch.float32, device=self._local.device)
            prompt["input_labels"] = torch.ones(prompt["input_points"].shape[:-1], dtype=torch.int64).to(
                self._local.device
            )
        if box is not None:
            prompt["input_boxes"] = torch.tensor(box[None, None], dtype=torch.float32, device=self._local.device)
        found = model(image_embeddings=encoded, multimask_output=box is None, **prompt)
        return found.pred_masks[0].flatten(0, 1), found.iou_scores[0].flatten()


class SegmentAnything2(SegmentAnything):
    """The second model: facebook/sam2-hiera-tiny to -large, and facebook/sam2.1-hiera-…."""

    name = "segment_anything_2"
    _model_class, _processor_class = "Sam2Model", "Sam2Processor"


def _pads(inputs: Any) -> bool:
    """Return whether the image keeps its shape inside a padded square; the second model's are stretched."""
    return "reshaped_input_sizes" in inputs


def _grid(side: int) -> np.ndarray:
    """Return [side², 2] points (x, y) in the middles of a grid's cells, as shares of the image."""
    middles = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)


def _ranks(logits: "torch.Tensor", predicted: "torch.Tensor") -> Iterator[tuple[bool, float]]:
    """For each mask, something that is greater the more it is the object: a sure one by its size, others by the score.

    Args:
        logits: [M, h, w] without padding.
        predicted: [M].
    """
    import torch

    masks = logits > 0
    areas = masks.float().mean(dim=(1, 2))
    most, least = (logits > -_OFFSET).sum(dim=(1, 2)), (logits > _OFFSET).sum(dim=(1, 2))
    stability = least / most.clamp(min=1)
    border = torch.cat([masks[:, 0], masks[:, -1], masks[:, 1:-1, 0], masks[:, 1:-1, -1]], dim=1).float().mean(dim=1)
    sure = (predicted >= _LEAST_IOU) & (stability >= _LEAST_STABILITY) & (border <= _MOST_BORDER) & (areas > 0)
    for is_sure, area, score in zip(sure.tolist(), areas.tolist(), predicted.tolist(), strict=True):
        yield is_sure, area if is_sure else score
