"""Any model that can answer questions about images, under the same data, prompts and protocol as SAM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from lavis_sam import distributed
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.fingerprint import samples_fingerprint
from lavis_sam.evaluation.generation_loop import answer_all
from lavis_sam.evaluation.prediction_log import Record
from lavis_sam.evaluation.results import DEFAULT_PROTOCOL, check_scorable, write_scored
from lavis_sam.evaluation.run_folder import Provenance, Results
from lavis_sam.signals import StopRequest


@dataclass(frozen=True)
class Question:
    """A sample with its images.

    Attributes:
        sample: Names, instruction, references.
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


class Answerer(Protocol):
    """A model, as the evaluation sees it."""

    def describe(self) -> Mapping[str, Any]:
        """What decides the answers, as plain data: no paths, batch sizes or secrets.

        "model", "weights" and "decoding" go into the manifest under these names. A continued evaluation whose answerer
        describes itself otherwise is refused.
        """

    def answer(self, questions: Sequence[Question]) -> list[str]:
        """One text for each question, in order; "" is an answer, and scores 0.

        Raises:
            SamError: A question cannot be answered; the message names the sample. Nothing answered before is lost.
        """


def evaluate(
    dataset: MultiImageDataset,
    answerer: Answerer,
    folder: str | Path,
    *,
    name: str,
    split: str = "test",
    prompts: Any = None,
    batch_size: int = 1,
    protocol: str = DEFAULT_PROTOCOL,
    num_workers: int = 0,
    stop: StopRequest | None = None,
) -> Results | None:
    """Have a data set answered and scored; what was answered before, in the same folder, is not asked again.

    Args:
        dataset: The samples; its `annotation` and `images(index)` are used.
        answerer: The model.
        folder: The data set's folder of a run.
        name: The data set's name.
        split: Its split, for the manifest.
        prompts: Its prompt set, for the manifest.
        batch_size: The most questions at a time.
        protocol: "sam" or "coco".
        num_workers: Processes that read images ahead.
        stop: Is asked after every batch.

    Returns:
        The results on rank 0, None on other processes.

    Raises:
        SamError: Data that cannot be scored, a sample that cannot be answered, or earlier answers of something else.
        RunStopped: `stop` said so; starting again continues.
    """
    check_scorable(dataset.annotation, protocol)
    described = dict(answerer.describe())
    data = samples_fingerprint(dataset.annotation, getattr(dataset, "vis_root", None))
    loader = EvaluationLoader(
        dataset,
        batch_size,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        item=_question,
        collate=list,
        num_workers=num_workers,
    )

    folder = Path(folder)
    identity = {**described, "data": data}
    records = answer_all(loader, partial(_answered, answerer), folder=folder, identity=identity, stop=stop, title=name)
    if not distributed.is_main_process():
        return None
    provenance = Provenance(
        **{key: described.get(key) for key in ("model", "weights", "decoding")},
        split=split,
        prompts=prompts,
        config=described,
    )
    results, _ = write_scored(folder, records, dataset=name, protocol=protocol, provenance=provenance)
    return results


def _answered(answerer: Answerer, questions: list[Question]) -> list[Record]:
    texts = answerer.answer(questions)
    if len(texts) != len(questions):
        raise SamConfigurationError(
            f"{type(answerer).__name__} gave {len(texts)} answers to {len(questions)} questions, wanted one for each "
            f"(sample {questions[0].id!r} and following)."
        )
    return [_record(question.sample, text) for question, text in zip(questions, texts, strict=True)]


def _question(dataset: MultiImageDataset, index: int) -> Question:
    return Question(dataset.annotation[index], tuple(dataset.images(index)))


def _record(sample: MultiImageSample, text: str) -> Record:
    return {
        "sample_id": sample.id,
        "pred_response": text,
        "gt_response": sample.output,
        "references": list(sample.references),
    }
