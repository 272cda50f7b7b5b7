"""What the local models share: one of transformers' models, a name, and the published decoding."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from lavis_sam.baselines.search import check_comparable
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
            name: The model's name in reports.
            decoding: How to decode; the published way if None.

        Raises:
            SamConfigurationError: A decoding that cannot be compared.
        """
        self._decoding = decoding or Decoding()
        check_comparable(self._decoding)
        self._model, self._processor, self._name = model, processor, name

    def describe(self) -> Mapping[str, Any]:
        """Name, weights, precision, decoding, and how it is prompted."""
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
