"""The predictor: images and a question in, an answer out; no configs, batches or tensors in sight."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.images import image_tensor, is_image, to_rgb
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.explain.drawing import draw_overview
from lavis_sam.explain.measures import Explanation, explain_sample
from lavis_sam.files import write_bytes, write_json
from lavis_sam.memory import naming_samples
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.sequence import check_length
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.w_former import is_trained
from lavis_sam.predictor.load_model import load_model

BATCH_SIZE = 8
OVERVIEW_FILE, NUMBERS_FILE, ARRAYS_FILE = "overview.png", "explanation.json", "measures.npz"
REMEDY = (
    "Use fewer images per sample, a smaller num_beams or max_length, a smaller batch_size, or a smaller precision "
    "(bf16, fp16)."
)


@dataclass(frozen=True)
class ExplainedImages:
    """What `SamPredictor.explain` gives.

    Attributes:
        measures: The three measures as arrays, see `lavis_sam.explain.Explanation`.
        images: The sample's images, RGB.
    """

    measures: Explanation
    images: list[Image.Image]

    def draw(self) -> Image.Image:
        """Return all measures over the images, in one image."""
        return draw_overview(self.measures, self.images)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the image, the numbers (JSON) and the arrays (NumPy's .npz); files of these names are replaced.

        Args:
            folder: The folder to make.

        Returns:
            The files: `overview`, `numbers`, `arrays`.
        """
        folder = Path(folder)
        paths = {"overview": folder / OVERVIEW_FILE, "numbers": folder / NUMBERS_FILE, "arrays": folder / ARRAYS_FILE}
        image, arrays = io.BytesIO(), io.BytesIO()
        self.draw().save(image, format="PNG", optimize=True)
        named: dict[str, Any] = self.measures.arrays()
        np.savez_compressed(arrays, **named)
        write_bytes(paths["overview"], image.getvalue())
        write_bytes(paths["arrays"], arrays.getvalue())
        write_json(paths["numbers"], self.measures.as_dict())
        return paths


class SamPredictor:
    """A model with everything around it that a caller of one function should not have to know.

    Args:
        model: The model, where it shall stay.
        batch_size: The most samples that go through it together.
    """

    def __init__(self, model: SemanticAlignment, *, batch_size: int = BATCH_SIZE) -> None:
        if batch_size < 1:
            raise SamConfigurationError(f"batch_size is {batch_size}; it must be at least 1.")
        self.model = model.eval()
        self.batch_size = batch_size

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = "tiny",
        *,
        base: str | Path | None = None,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        precision: str | None = None,
        settings: Mapping[str, Any] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> "SamPredictor":
        """Build from a packaged model type ("tiny", "vicuna7b", "vicuna13b"), a folder or a checkpoint file.

        Args:
            source: A model type; an adapter's folder; a run's, of which the best checkpoint is taken, or else the last;
                transformers' InstructBLIP folder; a checkpoint of ours or of the authors; "user/adapter", an adapter's
                repository on the Hugging Face hub, where no path here has that name.
            base: InstructBLIP, where it is not where config and environment say.
            checkpoint: Trained layers over `source`.
            device: "cpu", "cuda", …; by default the first GPU, or else the CPU.
            precision: "fp32", "bf16" or "fp16" for the frozen parts; by default the model type's.
            settings: Further keys of the config's `model` node.
            batch_size: The most samples that go through the model together.

        Raises:
            SamConfigurationError: An unknown name or setting, a device that is not there, or too little memory.
            SamCheckpointError: Files are missing (all are listed), damaged or do not fit.
        """
        model = load_model(
            source, base=base, checkpoint=checkpoint, device=device, precision=precision, settings=settings
        )
        return cls(model, batch_size=batch_size)

    def caption(self, images: Any, prompt: str | Sequence[str] = "", **decoding: Any) -> Any:
        """Answer a question about images.

        Args:
            images: One image; a list of images, one sample; or a list of lists, many samples, each with as many
                images as it has. An image is a path, the bytes of a file, a PIL image, an array or a tensor.
            prompt: The question, one for all samples or a list of one each.
            decoding: Settings of `generate`, such as `num_beams=1, max_length=40`; the defaults are the published ones.

        Returns:
            The answer, a string, or for many samples a list of them; with `num_captions` above 1, a list of answers in
            place of each.

        Raises:
            SamDataError: An image cannot be read, a sample has none, or is longer than the language model reads.
            SamConfigurationError: An impossible setting, or out of memory; the samples are named.
        """
        settings = Decoding.from_mapping(decoding, "caption")
        samples, is_single = _read_samples(images)
        prompts = _read_prompts(prompt, len(samples), self.model.prompt)
        self._check_lengths(samples, prompts)
        answers: list[str] = []
        for start in range(0, len(samples), self.batch_size):
            chosen = range(start, min(start + self.batch_size, len(samples)))
            with naming_samples(lambda chosen=chosen: _name(chosen, samples), REMEDY):  # type: ignore[misc]
                batch = self._batch([(number, samples[number]) for number in chosen])
                found = self.model.generate({**batch, "prompt": [prompts[number] for number in chosen]}, **decoding)
            answers += [str(text) for text in found]
        count = settings.num_captions
        grouped = answers if count == 1 else [answers[at : at + count] for at in range(0, len(answers), count)]
        return grouped[0] if is_single else grouped

    def stream(self, images: Any, prompt: str = "", **decoding: Any) -> Iterator[str]:
        """Answer a question about the images of one sample, and give the answer piece by piece as it is written.

        Args:
            images: One image, or a list of images.
            prompt: The question.
            decoding: As for `caption`, with `num_beams=1` for default: of competing beams no word is certain.

        Returns:
            The pieces; joined, they are what `caption` gives with the same settings.

        Raises:
            SamDataError: See `caption`; or there are several samples.
            SamConfigurationError: See `caption`; or several beams are asked for.
        """
        settings = Decoding.from_mapping({"num_beams": 1, **decoding}, "stream")
        if settings.num_beams != 1 or settings.num_captions != 1:
            raise SamConfigurationError(
                f"num_beams is {settings.num_beams} and num_captions {settings.num_captions}; a text can be streamed "
                "only with 1 and 1, because beams compete until the end. Use caption for more."
            )
        samples = [self._read_one(images, "stream")]
        prompts = _read_prompts(prompt, 1, self.model.prompt)
        self._check_lengths(samples, prompts)
        naming = partial(naming_samples, lambda: _name(range(1), samples), REMEDY)
        with naming():
            batch = self._batch(list(enumerate(samples)))

        def pieces() -> Iterator[str]:
            with naming():
                yield from self.model.stream({**batch, "prompt": prompts}, settings)

        return pieces()

    def explain(self, images: Any, prompt: str = "") -> ExplainedImages:
        """Measure which image guides which in one sample; see `lavis_sam.explain`.

        Args:
            images: One image, or a list of images.
            prompt: The question; the guidance depends on it.

        Returns:
            The measures as arrays, with the images to draw them over (`draw()`, `save(folder)`).

        Raises:
            SamDataError: See `caption`; or there are several samples.
            SamConfigurationError: Nothing guides in this model, or out of memory.
        """
        sample = self._read_one(images, "explain")
        (text,) = _read_prompts(prompt, 1, self.model.prompt)
        self._check_lengths([sample], [text])
        with naming_samples(lambda: _name(range(1), [sample]), "Use fewer images, or device='cpu'."):
            decoded = [to_rgb(image, f"sample 0, image {place}") for place, image in enumerate(sample, start=1)]
            tensors = torch.stack([image_tensor(image, self.image_size) for image in decoded])
            return ExplainedImages(explain_sample(self.model, tensors, text), decoded)

    @property
    def image_size(self) -> int:
        """Pixels of a side that the vision encoder sees."""
        return self.model.visual_encoder.image_size

    @property
    def is_trained(self) -> bool:
        """Whether SAM's layers have been trained; if not, the model answers as InstructBLIP does."""
        return bool(is_trained(self.model))

    def _read_one(self, images: Any, name: str) -> list[Any]:
        samples, is_single = _read_samples(images)
        if not is_single:
            raise SamDataError(
                f"{name} takes the images of one sample, found {len(samples)} samples; call it for each."
            )
        return samples[0]

    def _check_lengths(self, samples: Sequence[Sequence[Any]], prompts: Sequence[str]) -> None:
        """Refuse what the language model could not read, before an image is opened."""
        queries = self.model.query_tokens.shape[1]
        texts = [len(self.model.llm_tokenizer.encode(prompt)) for prompt in prompts]
        check_length(self.model.llm_model, [len(sample) * queries for sample in samples], texts)

    def _batch(self, samples: Sequence[tuple[int, Sequence[Any]]]) -> dict[str, Any]:
        """Return images of samples, each with its number, as a padded batch on the model's device."""
        collected = []
        for number, images in samples:
            read = [to_rgb(image, f"sample {number}, image {place}") for place, image in enumerate(images, start=1)]
            tensors = [image_tensor(image, self.image_size) for image in read]
            collected.append({"image": torch.stack(tensors, dim=1), "sample_id": number})
        batch = collate_multi_image(collected)
        return {key: value.to(self.model.device) for key, value in batch.items() if key != "sample_id"}


def _read_samples(images: Any) -> tuple[list[list[Any]], bool]:
    """Return the samples, and whether there is one that was not put into a list."""
    wanted = "give one image, a list of images (one sample), or a list of lists (many samples)"
    if is_image(images):
        return [[images]], True
    if isinstance(images, Mapping) or not isinstance(images, Sequence):
        raise SamDataError(f"images is a {type(images).__name__}; {wanted}.")
    if not images:
        raise SamDataError(f"images is empty: 0 images; {wanted}.")
    single = [is_image(value) for value in images]
    if all(single):
        return [list(images)], True
    if any(single):
        raise SamDataError(f"images holds images beside lists of images; {wanted}.")
    for number, sample in enumerate(images):
        if not isinstance(sample, Sequence) or not sample:
            found = "has 0 images" if isinstance(sample, Sequence) else f"is a {type(sample).__name__}"
            raise SamDataError(f"sample {number} {found}; {wanted}.")
    return [list(sample) for sample in images], False


def _read_prompts(prompt: Any, count: int, default: str) -> list[str]:
    if isinstance(prompt, str):
        return [prompt or default] * count
    texts = list(prompt) if isinstance(prompt, Sequence) else [prompt]
    if not all(isinstance(text, str) for text in texts):
        raise SamDataError(f"prompt is {repr(prompt)[:80]}; give a text, or a list of one text per sample.")
    if len(texts) != count:
        raise SamDataError(f"{len(texts)} prompts for {count} samples; give one, or one per sample.")
    return texts


def _name(chosen: Sequence[int], samples: Sequence[Sequence[Any]]) -> str:
    """Return which samples were being worked on, and the heaviest of them."""
    if len(chosen) == 1:
        return f"working on sample {chosen[0]} with {len(samples[chosen[0]])} images"
    most = max(chosen, key=lambda number: len(samples[number]))
    return (
        f"working on samples {chosen[0]} to {chosen[-1]}, of which sample {most} has the most images, "
        f"{len(samples[most])}"
    )
