"""Hours that a run will take, measured on a few samples by the parts that it names.

Services are not asked: their time is theirs and their answers cost money, so embedded parts write in their place.
Nothing is refused, so that every part gets something to do. The first sample loads the weights and is not counted.
"""

import functools
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lavis_sam.synthesis.configuration import Backend, SynthesisSettings
from lavis_sam.synthesis.forecast import SERVICES, Forecast
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.quality import Limits
from lavis_sam.synthesis.records import Attempt
from lavis_sam.synthesis.registry import METHODS, PipelineBuilder

FEW = 2
_SEED = 0
# Jobs that a service may do -> the embedded part that does them here.
_EMBEDDED = {"background": "templates", "refine": "keep"}
_LOOK_AGAIN = "background.extra_salient"


@dataclass(frozen=True)
class Hours:
    """What `measured_hours` finds.

    Attributes:
        device: What the parts ran on: a GPU's name, or "cpu".
        seconds: Job -> seconds of a call; None where no call was measured.
        hours: Job -> hours of all calls of the forecast, likewise; "other" is the work between the jobs.
    """

    samples: int
    device: str
    seconds: Mapping[str, float | None]
    hours: Mapping[str, float | None]

    @property
    def total(self) -> float:
        """Hours of all jobs that were measured, one after the other."""
        return sum(hours for hours in self.hours.values() if hours is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "measured_samples": self.samples, "device": self.device, "seconds_a_call": dict(self.seconds),
            "hours": dict(self.hours), "total_hours": self.total,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """Return what a person reads."""
        where = "of this machine's processor" if self.device == "cpu" else f"of a GPU ({self.device})"
        lines = [f"Hours {where}, one worker, from {self.samples} samples measured here:"]
        for job, hours in self.hours.items():
            each = self.seconds.get(job)
            detail = "" if each is None else f" ({each:.3g} s a call)"
            lines.append(f"  {job:<10} {'not measured' if hours is None else f'{hours:,.2f}{detail}'}")
        return [*lines, f"  {'together':<10} {self.total:,.2f}"]


def measured_hours(settings: SynthesisSettings, forecast: Forecast) -> Hours:
    """Make a few samples in memory, and scale what they took to the forecast's calls.

    Raises:
        SamConfigurationError: A part cannot work here.
    """
    settings = _without_services(settings)
    builder = PipelineBuilder(settings)
    clocks = {job: _Clock(backend, METHODS[job]) for job, backend in builder.backends.items()}
    pipeline, kind = builder.pipeline(), _kind(settings)
    pipeline.run([Attempt(_SEED, 0, 0, kind)])
    for clock in clocks.values():
        clock.seconds, clock.calls = 0.0, 0
    began = time.perf_counter()
    pipeline.run([Attempt(_SEED, slot, 0, kind) for slot in range(1, FEW + 1)])
    other = time.perf_counter() - began - sum(clock.seconds for clock in clocks.values())
    seconds: dict[str, float | None] = {}
    hours: dict[str, float | None] = {}
    for job, (backend, count) in forecast.calls.items():
        known = clocks.get(job) if backend not in SERVICES else None
        seconds[job] = each = known.seconds / known.calls if known is not None and known.calls else None
        if job not in clocks:  # the backend "none" does nothing
            hours[job] = 0.0
        else:
            hours[job] = None if each is None else each * count / 3600
    hours["other"] = max(0.0, other) / FEW * forecast.samples / 3600
    return Hours(FEW, _device(), seconds, hours)


class _Clock:
    """Takes the time of what a backend is asked."""

    def __init__(self, backend: Any, method: str) -> None:
        self.seconds, self.calls, self._is_running = 0.0, 0, False
        # A segmenter may be asked with or without prompts.
        for name in (method, f"{method}_prompted"):
            if callable(getattr(backend, name, None)):
                setattr(backend, name, self._timed(getattr(backend, name)))

    def _timed(self, call: Callable[[Sequence[Any]], Sequence[Any]]) -> Callable[[Sequence[Any]], Sequence[Any]]:
        @functools.wraps(call)
        def timed(requests: Sequence[Any]) -> Sequence[Any]:
            """Answer as `call` does, and add its seconds and requests to ours."""
            if self._is_running:  # one of its methods asks another one
                return call(requests)
            self._is_running, began = True, time.perf_counter()
            try:
                answers = call(requests)
            finally:
                self._is_running = False
            self.seconds += time.perf_counter() - began
            self.calls += len(requests)
            return answers

        return timed


def _without_services(settings: SynthesisSettings) -> SynthesisSettings:
    """Return the settings with embedded parts for services, and with nothing refused."""
    others = {
        job: Backend(name) for job, name in _EMBEDDED.items() if getattr(settings.stages, job).backend in SERVICES
    }
    again = settings.quality.get(_LOOK_AGAIN)
    # Segmenting each finished image costs time, and is done where it is judged.
    quality = {_LOOK_AGAIN: Limits(max=math.inf)} if again is not None and again.max is not None else {}
    return replace(settings, stages=replace(settings.stages, **others), quality=quality)


def _kind(settings: SynthesisSettings) -> str:
    """Return a sample that passes through all stages, where samples are of any such kind."""
    kinds = [kind for kind, weight in settings.kinds.items() if weight > 0]
    return next((kind for kind in kinds if KINDS[kind].layout == "scene"), kinds[0])


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return str(torch.cuda.get_device_name())
    return "cpu"
