"""Captions of source images by InstructBLIP: in transformers' format, or ours with SAM's layers.

a folder of transformers'   InstructBLIP, BLIP-2, or a chat model such as LLaVA or Qwen2-VL
anything else               what `SamPredictor.from_pretrained` takes: "vicuna7b", a run's folder, an adapter's
"""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.backends.local_model import LocalModel
from lavis_sam.synthesis.protocols import DescribeRequest
from lavis_sam.synthesis.records import Rgb

PROMPT = "A short image description:"
# How a caption begins that is a sentence about the image, not a name for what it shows.
_OPENING = re.compile(
    r"(?:the|this) (?:image|photo|pic\w*)\s+(?:shows|features|depicts|is of|contains)\b"
    r"|(?:a|an) (?:image|photo|pic\w*) of\b|(?:there is|this is|it is)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|\n")
# Letters of other scripts than the Latin one are another language; an accent here and there is not.
_MOST_FOREIGN = 0.2


class InstructBlipDescriber:
    """Describes an object from the first of its source images that the sample uses."""

    name = "instructblip"
    sees_images = True

    def __init__(
        self,
        model: str,
        device: str | None = None,
        precision: str | None = None,
        batch_size: int = 1,
        prompt: str = PROMPT,
        num_beams: int = 5,
        max_length: int = 40,
    ) -> None:
        """Look for the model.

        Args:
            model: See the module.
            device: See `LocalModel`.
            precision: See `LocalModel`.
            batch_size: Images that are described together. With 1 an answer depends on its image alone.
            prompt: What the model is asked.
            num_beams: Beams of the search; 1 is greedy.
            max_length: Tokens of an answer, at most.

        Raises:
            SamConfigurationError: Options out of range, or no such model.
        """
        if not prompt.strip() or num_beams < 1 or max_length < 2:
            raise SamConfigurationError(
                f"stages.describe: found prompt {prompt!r}, num_beams {num_beams} and max_length {max_length}, wanted "
                "a prompt with words, 1 or more and 2 or more."
            )
        self._prompt = prompt
        self._decoding: dict[str, Any] = {"num_beams": num_beams, "max_length": max_length}
        self._model = model
        self._local = LocalModel(
            "describe", _files_of(model), device=device, precision=precision, batch_size=batch_size
        )
        self.version = self._local.version

    def describe(self, requests: Sequence[DescribeRequest]) -> list[str | SamDataError]:
        """See `Describer.describe`; a caption without words is an error."""
        images = [request.views[0].image for request in requests]
        return [noun_phrase(text) for text in self._local.in_batches(self._ask, images)]

    @functools.cached_property
    def _ask(self) -> Callable[[Sequence[Rgb]], list[str]]:
        """Images -> captions, by whichever of the two models it is."""
        return self._transformers_model() if _is_transformers(self._local.folder) else self._predictor()

    def _transformers_model(self) -> Callable[[Sequence[Rgb]], list[str]]:
        from PIL import Image

        from lavis_sam.baselines.transformers_folder import load_model
        from lavis_sam.datasets.sample import MultiImageSample
        from lavis_sam.evaluation.model import EvaluationSample
        from lavis_sam.models.decoding import Decoding

        model = load_model(
            str(self._local.folder),
            device=self._local.device,
            precision=self._local.precision,
            decoding=Decoding(**self._decoding),
        )
        sample = MultiImageSample(0, ("image",), self._prompt, "", (), "synthesis")
        return lambda images: model.answer([EvaluationSample(sample, (Image.fromarray(image),)) for image in images])

    def _predictor(self) -> Callable[[Sequence[Rgb]], list[str]]:
        from lavis_sam.predictor import SamPredictor

        predictor = SamPredictor.from_pretrained(
            self._model,
            device=self._local.device,
            precision=self._local.precision,
            batch_size=self._local.batch_size,
        )
        return lambda images: predictor.caption([[image] for image in images], self._prompt, **self._decoding)


def noun_phrase(caption: str) -> str | SamDataError:
    """Return what a caption names, of its first sentence and without its opening; an error where it has no words."""
    text = " ".join(_SENTENCE_END.split(caption.strip(), maxsplit=1)[0].split())
    text = _OPENING.sub("", text, count=1) if _OPENING.match(text) else text
    text = text.strip(" ,;:\"'")
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(not letter.isascii() for letter in letters)
    if not letters or foreign > _MOST_FOREIGN * len(letters):
        return SamDataError(f"the captioning model wrote {caption[:80]!r}, wanted a description in English")
    first, _, rest = text.partition(" ")
    return f"{first.lower()} {rest}" if first in ("A", "An", "The", "Two", "Some") else text


def _files_of(model: str) -> str:
    """Return what has to be there: the model's files, or for one of our model types its packaged configuration."""
    from lavis_sam.weights.packaged import MODEL_CONFIGS

    return MODEL_CONFIGS.get(model, model)


def _is_transformers(path: Path) -> bool:
    return (path / "config.json").is_file() and any(path.glob("*processor_config.json"))
