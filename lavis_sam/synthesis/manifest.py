"""What is written down of every sample, every rejection and the whole run."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lavis_sam.synthesis.pipeline import visible_masks
from lavis_sam.synthesis.records import STAGES, Draft, Rejection, SourceObject

# Six digits tell any two values apart that a threshold could.
_DIGITS = 6
# Keys of samples.jsonl that a field of a record has outgrown.
_KEYS = {"required_words": "told"}
# The funnel's last two steps are no stages of the pipeline.
FUNNEL = (*STAGES, "worker", "duplicates")


def sample_record(draft: Draft, files: Iterable[str], backends: Mapping[str, str]) -> dict[str, Any]:
    """Return an accepted sample's line in samples.jsonl.

    Args:
        files: Its images' paths relative to the data set.
        backends: Job -> name and version.
    """
    attempt, plan = draft.plan.attempt, draft.plan
    return {
        "id": attempt.id,
        "slot": attempt.slot,
        "attempt": attempt.number,
        "seed": attempt.seed,
        "form": plan.form,
        "kind": attempt.kind,
        "instruction": draft.instruction,
        "output": draft.output,
        "references": list(draft.references),
        "facts": dict(plan.facts),
        "pictures": [_image_record(draft, index, file) for index, file in enumerate(files)],
        "objects": [
            {**_object_record(obj), "description": description}
            for obj, description in zip(plan.objects, draft.descriptions, strict=True)
        ],
        "scores": {name: [round(value, _DIGITS) for value in values] for name, values in draft.scores.items()},
        "backends": dict(backends),
    }


def rejection_record(rejection: Rejection, image: str | None) -> dict[str, Any]:
    """Return a rejected try's line in rejections.jsonl; `image` is the file that shows it, if one was kept."""
    value = rejection.value
    return {
        "slot": rejection.attempt.slot,
        "attempt": rejection.attempt.number,
        "kind": rejection.attempt.kind,
        "stage": rejection.stage,
        "reason": rejection.reason,
        "value": None if value is None or not np.isfinite(value) else round(float(value), _DIGITS),
        "limit": rejection.limit,
        "picture": image,
    }


def annotation(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sample in the unified annotation format."""
    record = {
        "id": sample["id"],
        "img_list": [image["file"] for image in sample["pictures"]],
        "instruction": sample["instruction"],
        "output": sample["output"],
    }
    if sample["references"]:
        record["references"] = sample["references"]
    return record


def file_name_of_reason(reason: str) -> str:
    """Return a reason as part of a file name; it may be an exception's class of a stranger's backend."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", reason)[:60]


class RunCounts:
    """The run's numbers, gathered outcome by outcome."""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.unfilled = 0
        self._by_stage: Counter[str] = Counter()
        self._by_reason: dict[str, Counter[str]] = {}
        self._stage_of: dict[str, str] = {}

    def add(self, kind: str, sample: Mapping[str, Any] | None, rejections: Iterable[Mapping[str, Any]]) -> None:
        """Count one place of the data set: its sample, if it has one, and the tries before it."""
        if sample is None:
            self.unfilled += 1
        else:
            self.accepted[kind] += 1
        for rejection in rejections:
            self.rejected[kind] += 1
            self._by_stage[rejection["stage"]] += 1
            self._by_reason.setdefault(rejection["reason"], Counter())[kind] += 1
            self._stage_of.setdefault(rejection["reason"], rejection["stage"])

    def as_dict(self) -> dict[str, Any]:
        """Return the counts by stage, kind and reason."""
        entered = tries = self.accepted.total() + self.rejected.total()
        stages = {}
        for stage in FUNNEL:
            passed = entered - self._by_stage[stage]
            stages[stage] = {"entered": entered, "passed": passed}
            entered = passed
        reasons = sorted(self._by_reason.items(), key=lambda item: (-item[1].total(), item[0]))
        return {
            "accepted": self.accepted.total(),
            "tries": tries,
            "unfilled": self.unfilled,
            "kinds": {
                kind: {"accepted": self.accepted[kind], "rejected": self.rejected[kind]}
                for kind in sorted(self.accepted | self.rejected)
            },
            "stages": stages,
            "rejections": {
                reason: {"stage": self._stage_of[reason], "count": kinds.total(), "kinds": dict(sorted(kinds.items()))}
                for reason, kinds in reasons
            },
        }


def _object_record(obj: SourceObject) -> dict[str, Any]:
    views = [
        {"description": view.description, "reference": view.reference, "attributes": dict(view.attributes)}
        for view in obj.views
    ]
    plain = {
        _KEYS.get(field.name, field.name): getattr(obj, field.name)
        for field in dataclasses.fields(obj)
        if field.name not in ("views", "attributes", "filed_under")
    }
    return {**plain, "attributes": dict(obj.attributes), "views": views}


def _image_record(draft: Draft, index: int, file: str) -> dict[str, Any]:
    composite = draft.composites[index]
    objects = [
        {
            "object": layer.actor.object,
            "view": layer.actor.view,
            "role": layer.actor.role,
            "name": layer.actor.name,
            "box": list(layer.box),
            "mask": run_lengths(mask),
        }
        for layer, mask in zip(composite.layers, visible_masks(draft, index), strict=True)
    ]
    return {
        "file": file,
        "background": dataclasses.asdict(draft.backgrounds[index]),
        "horizon": round(composite.horizon, _DIGITS),
        "camera_height": round(composite.camera_height, _DIGITS),
        "hash": draft.hashes[index],
        "objects": objects,
    }


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask [H, W] in COCO's compressed run-length form: {"size": [H, W], "counts": text}."""
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}
