"""From names in the configuration to the parts of a pipeline. The only place that knows every backend."""

import importlib
import inspect
import sys
import types
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.config.settings import problem_with
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.configuration import Backend, SynthesisSettings
from lavis_sam.synthesis.forms import Form
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.pipeline import Pipeline
from lavis_sam.synthesis.protocols import Source, backend_versions
from lavis_sam.synthesis.stages.background import BackgroundStage
from lavis_sam.synthesis.stages.base import Stage
from lavis_sam.synthesis.stages.composite import CompositeStage
from lavis_sam.synthesis.stages.inpaint import InpaintStage
from lavis_sam.synthesis.stages.segment import SegmentStage
from lavis_sam.synthesis.stages.write import DescribeStage, WriteStage

_HERE = "lavis_sam.synthesis"
# Stage -> name -> "module:factory"; the sources are in `kinds.KINDS`. A factory's arguments are the backend's options.
BACKENDS: Mapping[str, Mapping[str, str]] = {
    "segment": {
        "u2netp": f"{_HERE}.backends.embedded:U2NetpSegmenter",
        "exact": f"{_HERE}.stages.segment:ExactSegmenter",
        "segment_anything": f"{_HERE}.backends.segment_anything:SegmentAnything",
        "segment_anything_2": f"{_HERE}.backends.segment_anything:SegmentAnything2",
    },
    "background": {
        "templates": f"{_HERE}.backends.embedded:TemplateBackgrounds",
        "chat": f"{_HERE}.backends.chat:ChatBackgrounds",
    },
    "inpaint": {
        "panoramas": f"{_HERE}.backends.embedded:PanoramaInpainter",
        "diffusers": f"{_HERE}.backends.diffusion:DiffusionInpainter",
    },
    "describe": {
        "templates": f"{_HERE}.backends.embedded:TemplateDescriber",
        "instructblip": f"{_HERE}.backends.captioning:InstructBlipDescriber",
    },
    "refine": {
        "keep": f"{_HERE}.stages.write:KeepRefiner",
        "chat": f"{_HERE}.backends.chat:ChatRefiner",
    },
    "score": {"none": "", "clip": f"{_HERE}.backends.similarity:ClipScorer"},
}
FORM_CLASSES = {
    "pairs": f"{_HERE}.forms.shared:SharedObject",
    "groups": f"{_HERE}.forms.shared:SharedObject",
    "stories": f"{_HERE}.forms.stories:Stories",
    "changes": f"{_HERE}.forms.changes:Changes",
    "captions": f"{_HERE}.forms.captions:Captions",
}
# Of the groups that a source set aside, so many are named in the manifest.
_NAMED_SKIPPED = 5
# Job -> what its backend is asked; see `protocols`.
METHODS = {
    "segment": "segment",
    "background": "write",
    "inpaint": "inpaint",
    "describe": "describe",
    "refine": "refine",
    "score": "score",
}


class PipelineBuilder:
    """The parts that a configuration names. Heavy backends load their weights at the first call, not here."""

    def __init__(self, settings: SynthesisSettings) -> None:
        """Build all parts.

        Raises:
            SamConfigurationError: Unknown names and options, missing packages, folders or files.
        """
        self._settings = settings
        context = {"split": settings.split}
        # Companions may be of a kind that no sample is about, so every configured source is there.
        self.sources: dict[str, Source] = {
            kind: make(kind, backend, {**context, "kind": kind}, f"sources.{kind}")
            for kind, backend in settings.sources.items()
        }
        self.backends = {
            job: made
            for job in ("segment", "background", "inpaint", "describe", "refine", "score")
            if (made := make(job, getattr(settings.stages, job), context, f"stages.{job}")) is not None
        }

        describer = settings.stages.describe.backend
        sees = bool(getattr(self.backends["describe"], "sees_images", False))
        for kind, source in self.sources.items():
            if getattr(source, "needs_captioner", False) and not sees:
                raise SamConfigurationError(
                    f"sources.{kind}: has no words of its own, and stages.describe ({describer}) looks at no image; "
                    "wanted a describer that does, such as instructblip."
                )

    def pipeline(self) -> Pipeline:
        """Return the stages in order."""
        settings, backends = self._settings, self.backends
        form: Form = _resolve(FORM_CLASSES[settings.form], "form")(settings.form, settings.image_count)
        # Looking for more salient objects costs as much as segmenting; it is done when its score is judged.
        limits = settings.quality.get("background.extra_salient")
        look_again = limits is not None and limits.max is not None
        stages: list[Stage] = [
            SegmentStage(backends["segment"], use_source_masks=settings.use_source_masks),
            CompositeStage(settings.images.size, settings.images.fill, settings.images.least_height),
            BackgroundStage(backends["background"]),
            InpaintStage(
                backends["inpaint"],
                fill=settings.images.fill,
                segmenter=backends["segment"] if look_again else None,
                scorer=backends.get("score"),
            ),
            DescribeStage(backends["describe"]),
            WriteStage(form, backends["refine"]),
        ]
        return Pipeline(form, self.sources, stages, settings.quality)

    def versions(self) -> dict[str, str]:
        """Return job -> name and version."""
        return backend_versions(
            {**{f"source {kind}": source for kind, source in self.sources.items()}, **self.backends}
        )

    def source_records(self) -> dict[str, Any]:
        """Return what the run's manifest says of the sources."""
        records = {}
        for kind, source in self.sources.items():
            reasons: Counter[str] = Counter()
            named: dict[str, list[str]] = {}
            for entry in source.skipped():
                reasons[entry.reason] += 1
                if len(named.setdefault(entry.reason, [])) < _NAMED_SKIPPED:
                    named[entry.reason].append(entry.id)
            skipped = {reason: {"count": count, "such as": named[reason]} for reason, count in sorted(reasons.items())}
            records[kind] = {"name": source.name, "licence": source.licence, "left_out": skipped}
        return records


def make(job: str, backend: Backend, context: Mapping[str, Any], place: str) -> Any:
    """Return the backend that the configuration names; None for the job's "none".

    Args:
        context: Arguments that a factory gets if it takes them.

    Raises:
        SamConfigurationError: An unknown name, options that are unknown, missing or of another type, or a package that
            is not installed.
    """
    registered = KINDS[job].sources if job in KINDS else BACKENDS[job]
    path = backend.backend if ":" in backend.backend else registered.get(backend.backend)
    if path is None:
        raise SamConfigurationError(unknown_name("backend", backend.backend, registered, f"{place}.backend"))
    if not path:
        return None
    factory = _resolve(path, place)
    _check_factory(factory, path, "draw" if job in KINDS else METHODS[job], place)
    known = inspect.signature(factory).parameters
    problems = [unknown_name("option", option, known, place) for option in backend.options if option not in known]
    missing = [
        name
        for name, parameter in known.items()
        if parameter.default is parameter.empty and name not in backend.options and name not in context
    ]
    problems += [f"{place}.{name}: missing; {backend.backend} needs it." for name in missing]
    for option, value in backend.options.items():
        wanted = known[option].annotation if option in known else None
        if _is_plain(wanted) and (wrong := problem_with(value, wanted, {})):
            problems.append(f"{place}.{option}: found {value!r}, {wrong}.")
    if problems:
        raise SamConfigurationError("\n".join(problems))
    fitting = {name: value for name, value in context.items() if name in known}
    return factory(**{**fitting, **backend.options})


def _check_factory(factory: Callable[..., Any], path: str, method: str, place: str) -> None:
    """Refuse what cannot be a backend before it is called: a configuration may come from a stranger."""
    module = path.partition(":")[0].partition(".")[0]
    is_class = isinstance(factory, type)
    if (
        module in sys.stdlib_module_names
        or not (is_class or inspect.isfunction(factory))
        or (is_class and not callable(getattr(factory, method, None)))
    ):
        raise SamConfigurationError(
            f"{place}.backend: found {path!r}, wanted a class with the method {method!r}, or a Python function that "
            "makes one, from a module that is not Python's own. It was not called."
        )


def _is_plain(annotation: Any) -> bool:
    """Return whether it is a type that a YAML file has values of; what else a factory may want it checks itself."""
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return all(kind in (str, int, float, bool, type(None)) for kind in kinds)


def _resolve(path: str, place: str) -> Callable[..., Any]:
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SamConfigurationError(f"{place}: {path} cannot be imported ({error}).") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise SamConfigurationError(f"{place}: {module_name} has no {name!r} that can be called.")
    return found
