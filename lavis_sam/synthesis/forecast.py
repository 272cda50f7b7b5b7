"""What a run would need, before it is begun: parts that are missing, calls of each part, requests to a service."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lavis_sam.errors import SamError
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.forms.shared import ICONS_IN_GRID
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.registry import BACKENDS, make

# Parts that ask a service; a call of theirs is a request.
SERVICES = ("chat",)


@dataclass(frozen=True)
class Forecast:
    """What `forecast` finds.

    Attributes:
        missing: One message for each source and backend that cannot work here.
        calls: Job -> (its backend's name, the most calls if no try is refused).
    """

    samples: int
    missing: tuple[str, ...]
    calls: dict[str, tuple[str, int]]

    @property
    def requests(self) -> int:
        """Requests to a service, if none of the answers is there yet."""
        return sum(count for backend, count in self.calls.values() if backend in SERVICES)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        calls = {job: {"backend": backend, "calls": count} for job, (backend, count) in self.calls.items()}
        return {"samples": self.samples, "missing": list(self.missing), "calls": calls, "requests": self.requests}


def forecast(settings: SynthesisSettings, num: int) -> Forecast:
    """Look for every part, and count; nothing is loaded, sent or written."""
    scenes = round(num * _share_of_scenes(settings))
    images = settings.image_count
    look_again = settings.quality.get("background.extra_salient")
    once_more = 1 if look_again is not None and look_again.max is not None else 0
    counts = {
        # The main object and a companion in each image, then each finished image.
        "segment": scenes * images * (2 + once_more),
        "background": scenes * images,
        "inpaint": scenes * images,
        "describe": scenes * images * 2 + _nameless_icons(settings, num - scenes),
        "refine": num,
        "score": num,
    }
    calls = {job: (getattr(settings.stages, job).backend, count) for job, count in counts.items()}
    return Forecast(num, tuple(_missing(settings)), calls)


def _nameless_icons(settings: SynthesisSettings, num: int) -> int:
    """Return icons that the captioner names, at most, where their source leaves it to that."""
    icons = settings.sources.get("icons")
    if icons is None or icons.options.get("named_by") != "captioner":
        return 0
    flat = sum(weight for kind, weight in settings.kinds.items() if KINDS[kind].layout != "scene")
    samples = round(num * settings.kinds.get("icons", 0) / flat) if flat else 0
    return samples * (settings.image_count * ICONS_IN_GRID + 1)


def _share_of_scenes(settings: SynthesisSettings) -> float:
    total = sum(settings.kinds.values())
    return sum(weight for kind, weight in settings.kinds.items() if KINDS[kind].layout == "scene") / total


def _missing(settings: SynthesisSettings) -> Iterator[str]:
    parts = [(f"sources.{kind}", kind, backend) for kind, backend in settings.sources.items()]
    parts += [(f"stages.{job}", job, getattr(settings.stages, job)) for job in BACKENDS]
    for place, job, backend in parts:
        context = {"split": settings.split, **({"kind": job} if job in KINDS else {})}
        try:
            make(job, backend, context, place)
        except SamError as error:
            yield str(error) if place in str(error) else f"{place}: {error}"
