"""What a worker does: fill the places of one part, try by try, and leave images and outcomes in the work folder."""

import functools
import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import write_bytes
from lavis_sam.synthesis.configuration import ImageSettings, SynthesisSettings
from lavis_sam.synthesis.manifest import file_name_of_reason, rejection_record, sample_record
from lavis_sam.synthesis.records import Attempt, Draft, Rejection, Rgb
from lavis_sam.synthesis.registry import METHODS, PipelineBuilder, make
from lavis_sam.synthesis.runners import AskElsewhere, EventSink, PartFunction, PartTask, Progress
from lavis_sam.synthesis.stages.inpaint import shrunk
from lavis_sam.synthesis.work_folder import Outcome, WorkFolder

# Images of rejected tries are for looking at only.
_REJECTED_SIDE, _REJECTED_QUALITY = 768, 80


@dataclass(frozen=True)
class PartJob:
    """What a worker is sent once."""

    settings: SynthesisSettings
    root: Path
    seed: int

    def prepare(self, elsewhere: Mapping[str, AskElsewhere] | None = None) -> PartFunction:
        """Build the backends, one thread each: the workers are the parallelism.

        Args:
            elsewhere: Stage -> who is asked in the place of the backend here.

        Raises:
            SamConfigurationError: A backend cannot work here, or this machine does not see the run's folder.
        """
        folder = WorkFolder(self.root)
        if not folder.work.is_dir():
            raise SamConfigurationError(
                f"{self.root}: {platform.node()} does not see the run's folder there; all machines of a run need it "
                "under the same path. Without a file system that they share, use --part-of and synthesize-merge."
            )
        cv2.setNumThreads(1)
        return PartWorker(self.settings, self.root, self.seed, elsewhere)

    def backend(self, stage: str) -> Any:
        """Build the backend of one stage; see `SeparableJob`.

        Raises:
            SamConfigurationError: It cannot work here.
        """
        cv2.setNumThreads(1)
        return make(stage, getattr(self.settings.stages, stage), {"split": self.settings.split}, f"stages.{stage}")


@dataclass
class _Place:
    """One place of the data set while its part is being made."""

    kind: str
    attempt: int
    sample: dict[str, Any] | None = None
    rejections: list[dict[str, Any]] = field(default_factory=list)


class PartWorker:
    """Makes parts, one at a time."""

    def __init__(
        self, settings: SynthesisSettings, root: Path, seed: int, elsewhere: Mapping[str, AskElsewhere] | None = None
    ) -> None:
        """Build the pipeline.

        Raises:
            SamConfigurationError: A backend is unknown or cannot work here.
        """
        builder = PipelineBuilder(settings)
        for stage, ask in (elsewhere or {}).items():
            backend = builder.backends[stage]
            # A segmenter may be asked with or without prompts.
            for method in (METHODS[stage], f"{METHODS[stage]}_prompted"):
                if callable(getattr(backend, method, None)):
                    setattr(backend, method, functools.partial(ask, backend.version, method))
        self._settings, self._seed, self._folder = settings, seed, WorkFolder(root)
        self._pipeline, self._backends = builder.pipeline(), builder.versions()

    def __call__(self, task: PartTask, emit: EventSink) -> None:
        """Fill the part's places and write its outcomes; see `PartFunction`."""
        places = {slot: _Place(kind, attempt) for slot, attempt, kind in task.slots}
        kept: dict[str, int] = {}
        while open_ := [slot for slot, place in places.items() if self._is_open(place)]:
            for batch in [[slot] for slot in open_] if task.isolate else [open_]:
                self._try(batch, places, task, emit, kept)
        outcomes = [
            Outcome(slot, place.kind, place.sample, tuple(place.rejections), place.attempt)
            for slot, place in places.items()
        ]
        self._folder.write_part(task.key, outcomes)

    def _is_open(self, place: _Place) -> bool:
        return place.sample is None and place.attempt < self._settings.run.attempts

    def _try(
        self, slots: list[int], places: dict[int, _Place], task: PartTask, emit: EventSink, kept: dict[str, int]
    ) -> None:
        """Make one try for each place."""
        attempts = [Attempt(self._seed, slot, places[slot].attempt, places[slot].kind) for slot in slots]
        fatal = [attempt for attempt in attempts if (attempt.slot, attempt.number) in task.crashed]
        attempts = [attempt for attempt in attempts if attempt not in fatal]
        if task.isolate and attempts:
            emit((attempts[0].slot, attempts[0].number))
        results = self._pipeline.run(attempts, lambda stage, passed, lost: emit(Progress(stage, passed, lost)))
        crashes = [Rejection(attempt, "worker", "crashed", None, "the worker died twice") for attempt in fatal]
        accepted = 0
        for result in [*results, *crashes]:
            attempt = result.plan.attempt if isinstance(result, Draft) else result.attempt
            place = places[attempt.slot]
            place.attempt += 1
            if isinstance(result, Draft):
                place.sample = sample_record(result, self._write_images(result), self._backends)
                accepted += 1
            else:
                place.rejections.append(rejection_record(result, self._keep(result, kept)))
        emit(Progress("accepted", accepted, len(crashes)))

    def _write_images(self, draft: Draft) -> list[str]:
        style = self._settings.images
        suffix = "jpg" if style.format == "jpeg" else "png"
        files = []
        for index, image in enumerate(draft.images):
            file = self._folder.image_file(draft.plan.attempt.slot, index, suffix)
            write_bytes(self._folder.root / file, encode(image, style))
            files.append(file)
        return files

    def _keep(self, rejection: Rejection, kept: dict[str, int]) -> str | None:
        """Leave an image of a rejected try, for the first few of each reason in the part."""
        reason = file_name_of_reason(rejection.reason)
        if rejection.image is None or kept.get(reason, 0) >= self._settings.run.keep_rejected:
            return None
        kept[reason] = kept.get(reason, 0) + 1
        file = self._folder.rejected_file(reason, rejection.attempt.slot, rejection.attempt.number)
        write_bytes(self._folder.root / file, thumbnail(rejection.image))
        return file


def encode(image: Rgb, style: ImageSettings) -> bytes:
    """Return an image as a file's content; equal images give equal bytes."""
    buffer = io.BytesIO()
    encoded = Image.fromarray(np.ascontiguousarray(image))
    if style.format == "jpeg":
        encoded.save(buffer, "JPEG", quality=style.quality)
    else:
        encoded.save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail(image: Rgb) -> bytes:
    """Return a small JPEG to look at."""
    return encode(shrunk(image, _REJECTED_SIDE), ImageSettings(format="jpeg", quality=_REJECTED_QUALITY))
