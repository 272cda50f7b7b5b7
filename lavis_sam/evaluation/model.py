"""What an evaluation needs of a model: SAM is one (`sam_model`), the baselines are others."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.batches import Collate, Item
from lavis_sam.evaluation.prediction_log import Record
from lavis_sam.evaluation.run_folder import Provenance


@dataclass(frozen=True)
class EvaluationSample:
    """A sample with its images.

    Attributes:
        images: The N images, RGB, in the size that they have, in order.
    """

    sample: MultiImageSample
    images: tuple[Image.Image, ...]

    @property
    def id(self) -> int | str:
        """The sample's name."""
        return self.sample.id

    @property
    def instruction(self) -> str:
        """The prompt, which goes to the model as it is; `{image#k}` in it is text."""
        return self.sample.instruction


class EvaluationModel(Protocol):
    """A model, as the evaluation sees it; `ImageTextModel` has most of it."""

    @property
    def read(self) -> Item | None:
        """(data set, index) -> item, in a worker process; None takes the data set's own items."""

    @property
    def collate(self) -> Collate | None:
        """Items -> batch, likewise."""

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers, as plain data: no paths, batch sizes or secrets.

        An evaluation continues only with a model that describes itself as then.
        """

    def records(self, batch: Any) -> list[Record]:
        """Answer a batch: one record for each sample, with `sample_id`, `pred_response`, `gt_response`, `references`.

        Raises:
            SamError: A sample cannot be answered; the message names it. Nothing answered before is lost.
        """

    def provenance(self, described: Mapping[str, Any], *, split: str, prompts: Any) -> Provenance:
        """Return what the manifest says about how the answers were made."""


def read_sample(dataset: Any, index: int) -> EvaluationSample:
    """Return a sample with its images, before any transform."""
    return EvaluationSample(dataset.annotation[index], tuple(dataset.images(index)))


class ImageTextModel(ABC):
    """An `EvaluationModel` that answers images and a text with a text."""

    @property
    def read(self) -> Item:
        """Read samples with their images, before any transform."""
        return read_sample

    @property
    def collate(self) -> Collate:
        """Batches are lists of `EvaluationSample`."""
        return list

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """See `EvaluationModel`; "model", "weights" and "decoding" go into the manifest under these names."""

    @abstractmethod
    def answer(self, samples: Sequence[EvaluationSample]) -> list[str]:
        """Return one text for each sample, in order; "" is an answer, and scores 0.

        Raises:
            SamError: A sample cannot be answered; the message names it.
        """

    def records(self, batch: Sequence[EvaluationSample]) -> list[Record]:
        """Answer a batch; see `EvaluationModel`.

        Raises:
            SamConfigurationError: `answer` gave more or fewer texts than it got samples.
        """
        texts = self.answer(batch)
        if len(texts) != len(batch):
            raise SamConfigurationError(
                f"{type(self).__name__} gave {len(texts)} answers to {len(batch)} samples, wanted one for each "
                f"(sample {batch[0].id!r} and following)."
            )
        return [
            {
                "sample_id": one.id,
                "pred_response": text,
                "gt_response": one.sample.output,
                "references": list(one.sample.references),
            }
            for one, text in zip(batch, texts, strict=True)
        ]

    def provenance(self, described: Mapping[str, Any], *, split: str, prompts: Any) -> Provenance:
        """Return what `describe` said, beside split and prompts."""
        named = {key: described.get(key) for key in ("model", "weights", "decoding")}
        return Provenance(**named, split=split, prompts=prompts, config=described)
