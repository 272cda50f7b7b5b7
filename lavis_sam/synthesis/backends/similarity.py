"""Similarities of finished images by CLIP (Radford et al. 2021) or SigLIP (Zhai et al. 2023), from transformers."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lavis_sam.synthesis.backends.local_model import LocalModel
from lavis_sam.synthesis.protocols import ScoreRequest
from lavis_sam.synthesis.records import Layer, Rgb

OBJECT, BACKGROUND = "semantic.object_similarity", "semantic.background_similarity"


class ClipScorer:
    """Cosine similarities: of a main object's crops in two images, and of an image and its background's description.

    Only scenes are looked at: icons and covers are shown as they are. The two models' cosines lie in different ranges
    (SigLIP's of image and text are near 0), so thresholds belong to a model.
    """

    name = "clip"

    def __init__(
        self, model: str, device: str | None = None, precision: str | None = None, batch_size: int = 1
    ) -> None:
        """Look for the model.

        Args:
            model: A folder, or a hub's name that is in the local cache: openai/clip-vit-…, google/siglip-….
            device: See `LocalModel`.
            precision: See `LocalModel`.
            batch_size: Images, or texts, that are embedded together.

        Raises:
            SamConfigurationError: No such model.
        """
        self._local = LocalModel("score", model, device=device, precision=precision, batch_size=batch_size)
        self.version = self._local.version

    def score(self, requests: Sequence[ScoreRequest]) -> list[Mapping[str, tuple[float, ...]]]:
        """See `Scorer.score`."""
        crops = [list(_crop_pairs(request)) for request in requests]
        scenes = [list(_described_scenes(request)) for request in requests]
        images = [image for pairs in crops for pair in pairs for image in pair]
        images += [image for described in scenes for image, _ in described]
        vectors = iter(self._local.in_batches(self._embed_images, images))
        objects = [tuple(_cosine(next(vectors), next(vectors)) for _ in pairs) for pairs in crops]
        texts = iter(self._local.in_batches(self._embed_texts, [text for described in scenes for _, text in described]))
        places = [tuple(_cosine(next(vectors), next(texts)) for _ in described) for described in scenes]
        return [
            {name: values for name, values in ((OBJECT, of_objects), (BACKGROUND, of_places)) if values}
            for of_objects, of_places in zip(objects, places, strict=True)
        ]

    @functools.cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Model and processor."""
        from transformers import AutoModel, AutoProcessor

        return self._local.load_weights(AutoModel), self._local.load(AutoProcessor)

    def _embed_images(self, images: Sequence[Rgb]) -> list[Any]:
        from PIL import Image

        model, processor = self._parts
        pixels = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
        return _vectors(model.get_image_features(pixel_values=pixels.to(self._local.device, self._local.dtype)))

    def _embed_texts(self, texts: Sequence[str]) -> list[Any]:
        model, processor = self._parts
        # SigLIP was trained on texts of one length; a fixed one also keeps a text's vector apart from its neighbours.
        length = model.config.text_config.max_position_embeddings
        read = processor(
            text=list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self._local.device)
        return _vectors(model.get_text_features(**read))


def _crop_pairs(request: ScoreRequest) -> Iterator[tuple[Rgb, Rgb]]:
    """Yield each main object's crops in one scene and in the next that shows it."""
    crops: dict[int, list[Rgb]] = {}
    for image, composite, plan in zip(request.images, request.composites, request.plans, strict=True):
        for layer in composite.layers if plan.layout == "scene" else ():
            if layer.actor.role == "main" and (crop := _crop(image, layer)).size:
                crops.setdefault(layer.actor.object, []).append(crop)
    for of_object in crops.values():
        yield from pairwise(of_object)


def _crop(image: Rgb, layer: Layer) -> Rgb:
    left, top, width, height = layer.box
    return image[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]


def _described_scenes(request: ScoreRequest) -> Iterator[tuple[Rgb, str]]:
    for image, plan, background in zip(request.images, request.plans, request.backgrounds, strict=True):
        if plan.layout == "scene" and background.text:
            yield image, background.text


def _vectors(found: Any) -> list[Any]:
    """Return one vector an item; transformers 5 wraps them, 4.57 does not."""
    return list(getattr(found, "pooler_output", found).float().cpu().numpy())


def _cosine(first: Any, second: Any) -> float:
    return float(np.dot(first, second) / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-12))
