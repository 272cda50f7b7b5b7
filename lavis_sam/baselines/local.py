"""What the local models share: one of transformers' models, a name, and the published decoding in its words."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.fingerprint import weights_fingerprint
from lavis_sam.evaluation.model import ImageTextModel
from lavis_sam.models.decoding import Decoding


class LocalModel(ImageTextModel):
    """A model on this machine.

    Attributes:
        prompt: How it is prompted, in words, for reports.
    """

    prompt: str

    def __init__(self, model: Any, processor: Any, *, name: str, decoding: Decoding | None = None) -> None:
        """Keep the parts.

        Args:
            model: One of transformers', in eval mode, on its device.
            processor: The model's processor.
            name: The model's name in reports.
            decoding: How to decode; the published way if None.

        Raises:
            SamConfigurationError: A decoding that cannot be compared.
        """
        self._decoding = decoding or Decoding()
        check_comparable(self._decoding)
        self._model, self._processor, self._name = model, processor, name

    def describe(self) -> Mapping[str, Any]:
        """Return name, weights, precision, decoding, and how it is prompted."""
        return {
            "model": self._name,
            "weights": weights_fingerprint(self._model),
            "architecture": type(self._model).__name__,
            "precision": str(self._model.dtype).removeprefix("torch."),
            "prompt": self.prompt,
            "decoding": asdict(self._decoding),
        }

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(self._model.device)


def check_comparable(decoding: Decoding) -> None:
    """Refuse what an evaluation cannot use.

    Raises:
        SamConfigurationError: Sampling, or several answers.
    """
    if decoding.use_nucleus_sampling or decoding.num_captions != 1:
        raise SamConfigurationError(
            f"found use_nucleus_sampling {decoding.use_nucleus_sampling} and num_captions {decoding.num_captions}, "
            "wanted false and 1: a baseline gives one answer, and the same one every time."
        )


def search_arguments(decoding: Decoding, *, prompt_length: int) -> dict[str, Any]:
    """Return arguments of transformers' `generate`.

    The repetition penalty looks at what was written alone, as SAM's does; transformers' own would also look at the
    prompt, and at every `<image>` in it.

    Args:
        prompt_length: Tokens of the prompt that `generate` is given as ids; 0 if it gets embeddings.
    """
    arguments = {
        "do_sample": False,
        "num_beams": decoding.num_beams,
        "max_new_tokens": decoding.max_length - 1,  # the released code's invisible start token counts
        "length_penalty": decoding.length_penalty,
        "repetition_penalty": 1.0,
    }
    if decoding.min_length > 1:
        arguments["min_new_tokens"] = decoding.min_length - 1
    if decoding.repetition_penalty != 1:
        penalty = RepetitionPenaltyLogitsProcessor(
            float(decoding.repetition_penalty), prompt_ignore_length=prompt_length
        )
        arguments["logits_processor"] = LogitsProcessorList([penalty])
    return arguments
