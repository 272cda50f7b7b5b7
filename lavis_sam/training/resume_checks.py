"""What a run may change when it is continued, and what would make it another run.

A checkpoint holds the resolved configuration and fingerprints of what no configuration shows: the training samples'
ids and texts, and the frozen weights. `RULES` says for every key what another value means; the first rule that fits
decides. Older checkpoints without fingerprints continue, and the log says what was not compared.
"""

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.weights.fingerprints import compare_fingerprints

logger = logging.getLogger(__name__)

# Characters of a value in a message.
_SHOWN = 80


class Consequence(Enum):
    """What follows from another value: an error, a line in the log, or nothing."""

    REFUSED = "refused"
    LISTED = "listed"
    IGNORED = "ignored"


# (what follows, what the keys are about, patterns of dotted keys)
RULES: tuple[tuple[Consequence, str, tuple[str, ...]], ...] = (
    (Consequence.IGNORED, "how the run is continued", ("run.resume*", "preprocess", "preprocess.*")),
    (
        Consequence.LISTED,
        "where files are; fingerprints compare what is in them",
        ("model.*_tokenizer", "model.llm_model", "model.pretrained", "model.vit_checkpoint", "model.finetuned"),
    ),
    (
        Consequence.LISTED,
        "memory, speed and answers",
        (
            *("model.gradient_checkpointing", "model.packing", "model.device_map*"),
            *("model.load_finetuned", "model.prompt"),
        ),
    ),
    (Consequence.REFUSED, "another model or another loss", ("model", "model.*")),
    (
        Consequence.REFUSED,
        "what the model gets of a sample",
        (
            *("datasets.*.vis_processor.train*", "datasets.*.text_processor.train*", "datasets.*.build_info.prompt"),
            "run.feature_crops",
        ),
    ),
    (
        Consequence.REFUSED,
        "which samples a step has",
        ("datasets.*.sample_ratio", "run.train_splits", "run.seed", "run.accum_grad_iters"),
    ),
    (
        Consequence.REFUSED,
        "how a step changes the weights",
        (
            *("run.task", "run.lr_sched", "run.init_lr", "run.min_lr", "run.warmup_lr", "run.warmup_steps"),
            *("run.lr_decay_rate", "run.weight_decay", "run.beta1", "run.beta2", "run.max_grad_norm"),
        ),
    ),
    (Consequence.REFUSED, "what the best checkpoint is the best of", ("run.select_best_by", "run.valid_splits")),
    # Paths, evaluation, logs, workers, how often to save, and how far to train.
    (Consequence.LISTED, "the rest", ("*",)),
)


@dataclass(frozen=True)
class RunDescription:
    """What is compared of a run.

    Attributes:
        config: The resolved configuration.
        data: A fingerprint of each training set; None for one that has none.
        base: Numbers of the frozen weights, part by part; see `lavis_sam.weights.fingerprints`.
        samples_per_step: Samples of an optimizer step, over all processes and accumulated batches.
        processes: How many there are.
        fixed_crops: Whether `run.feature_crops: 1` gives each image one crop without a cache too. Runs whose checkpoint
            does not say so drew a new one each time, as if it were null.
    """

    config: Mapping[str, Any]
    data: Sequence[str | None] | None = None
    base: Mapping[str, str] | None = None
    samples_per_step: int | None = None
    processes: int | None = None
    fixed_crops: bool = True


@dataclass
class Differences:
    """Between a checkpoint's run and the one that is to continue it, each as "key: then …, now …"."""

    refused: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)


def check_changes(then: RunDescription, now: RunDescription, place: str, *, allowed: bool) -> None:
    """Refuse to continue as another run, and log what merely changes.

    Args:
        then: The run of the checkpoint.
        now: This run.
        place: The checkpoint, for messages.
        allowed: `run.resume_with_changes`: what is refused otherwise is logged as a warning.

    Raises:
        SamConfigurationError: The run would be another one; the message lists every reason.
    """
    found = compare_runs(then, now)
    if found.refused and not allowed:
        raise SamConfigurationError(
            f"{place}: to continue from here with this configuration would be another run:\n  "
            + "\n  ".join(found.refused)
            + "\nGive these the checkpoint's values; or start a new run from its weights (model.finetuned, and another "
            "run.job_id); or allow all of it with run.resume_with_changes=true."
        )
    for line in found.refused:
        logger.warning("%s: changed, as run.resume_with_changes allows: %s", place, line)
    for line in found.listed:
        logger.info("%s: changed: %s", place, line)
    if found.not_compared:
        logger.info("%s: not compared, because the checkpoint does not say: %s", place, ", ".join(found.not_compared))


def compare_runs(then: RunDescription, now: RunDescription) -> Differences:
    """Return the differences between two runs, by what follows from them."""
    found = Differences()
    same_step = then.samples_per_step is not None and then.samples_per_step == now.samples_per_step
    drew_anew = not then.fixed_crops and _has_one_crop_without_cache(then.config)
    config = _whole(then.config)
    if drew_anew:
        config["run"]["feature_crops"] = None
    for key, (old, new) in _changes(config, _whole(now.config), "", found.not_compared):
        consequence, about = _rule(key)
        if key == "run.feature_crops" and drew_anew:
            about += "; without run.feature_cache its 1 drew a new crop each time"
        if key == "run.accum_grad_iters" and same_step:  # more processes or larger batches make up for it
            consequence = Consequence.LISTED
        if key == "model.pretrained" and "" in (old, new):  # a random base has no fingerprint in old checkpoints
            consequence, about = Consequence.REFUSED, "another model"
        line = f"{key}: then {_shown(old)}, now {_shown(new)}"
        if consequence is Consequence.REFUSED:
            found.refused.append(f"{line} ({about})")
        elif consequence is Consequence.LISTED:
            found.listed.append(line)
    _compare_data(then.data, now.data, found)
    if not then.base or not now.base:
        found.not_compared.append("frozen weights")
    elif other := compare_fingerprints(then.base, now.base):
        found.refused.append(f"frozen weights: others than the checkpoint's in {', '.join(other)} (another model)")
    if then.processes not in (None, now.processes):
        found.listed.append(f"processes: then {then.processes}, now {now.processes}")
    return found


def _compare_data(then: Sequence[str | None] | None, now: Sequence[str | None] | None, found: Differences) -> None:
    if then is None or now is None:
        found.not_compared.append("training data")
    elif len(then) != len(now):
        found.refused.append(f"training data: then {len(then)} set(s), now {len(now)} (which samples a step has)")
    else:
        pairs = [pair for pair in zip(then, now, strict=True) if None not in pair]
        if any(old != new for old, new in pairs):
            found.refused.append("training data: other ids, texts or image names, or another order (which samples)")
        if len(pairs) < len(then):
            found.not_compared.append("training data that have no annotations")


def _rule(key: str) -> tuple[Consequence, str]:
    return next(
        (consequence, about)
        for consequence, about, patterns in RULES
        if any(fnmatchcase(key, pattern) for pattern in patterns)
    )


def _has_one_crop_without_cache(config: Mapping[str, Any]) -> bool:
    run = config.get("run")
    return isinstance(run, dict) and run.get("feature_crops") == 1 and run.get("feature_cache") is None


def _whole(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the `run` section, if there is one: a key that it does not have stands at its default.

    The tiny model's base was random before `model.pretrained` could say so.
    """
    run, model = config.get("run"), config.get("model")
    whole = {**config, "run": dataclasses.asdict(RunSettings()) | run} if isinstance(run, dict) else dict(config)
    if isinstance(model, dict) and model.get("model_type") == "tiny":
        whole["model"] = {**model, "pretrained": model.get("pretrained") or ""}
    return whole


# Stands for a key that a configuration does not have; null is a value.
_ABSENT = object()


def _changes(
    then: Mapping[Any, Any], now: Mapping[Any, Any], place: str, not_compared: list[str]
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield dotted keys of other values; keys of whole sections that came after the checkpoint are not compared."""
    for name in dict.fromkeys([*then, *now]):
        old, new = then.get(name, _ABSENT), now.get(name, _ABSENT)
        key = f"{place}.{name}" if place else str(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(old, new, key, not_compared)
        elif _rule(key)[0] is Consequence.IGNORED:
            continue
        elif old is _ABSENT and place in ("", "model"):
            not_compared.append(key)
        elif old != new:
            yield key, (old, new)


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):  # of a file that no run of ours wrote
        return "something unreadable"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
