"""The curves of runs, out of their `log.jsonl`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lavis_sam.errors import SamDataError
from lavis_sam.plotting import figure, save_png
from lavis_sam.run_layout import distinct_names, log_of
from lavis_sam.training.metric_log import read_metric_log

_SIZE_INCHES = (9, 6)


@dataclass
class Curves:
    """What a run's log says over its steps.

    Attributes:
        name: What the run is called, by default as its folder.
        loss: Step -> loss, of the steps that led to where the run is: what it went back behind is left out.
        losses: Objective -> step -> its mean; empty for a run with one objective.
        lr: Step -> learning rate.
        validation: Steps made so far -> loss of a validation.
    """

    name: str
    loss: dict[int, float] = field(default_factory=dict)
    losses: dict[str, dict[int, float]] = field(default_factory=dict)
    lr: dict[int, float] = field(default_factory=dict)
    validation: dict[int, float] = field(default_factory=dict)


def read_curves(path: Path) -> Curves:
    """Return the curves of a run's folder, or of its `log.jsonl`.

    Raises:
        SamDataError: There is no such file, no training step in it, or what no run writes.
    """
    log = log_of(path)
    curves, made = Curves(log.parent.name), 0
    try:
        for event in read_metric_log(log):
            if event["event"] == "train" and isinstance(event.get("step"), int):
                made = event["step"] + 1
                float(made)  # which a plot needs
                curves.lr[event["step"]] = float(event["lr"])
                if event.get("loss") is not None:
                    curves.loss[event["step"]] = float(event["loss"])
                for name, mean in (event.get("losses") or {}).items():
                    curves.losses.setdefault(name, {})[event["step"]] = float(mean)
            elif event["event"] == "resumed" and isinstance(event.get("step"), int):
                made = event["step"]
                for curve in (curves.loss, curves.lr, *curves.losses.values()):
                    _cut(curve, made)
                _cut(curves.validation, made + 1)  # those of the step itself came before it
            elif event["event"] == "evaluation" and isinstance(event.get("epoch"), int):
                curves.validation[made] = float(event["loss"])
    except SamDataError:
        raise
    except OSError as error:
        raise SamDataError(f"{log}: cannot be read ({error.strerror}); wanted the folder of a run.") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SamDataError(
            f"{log}: holds an event that no run writes ({type(error).__name__}: {error}). Restore the log."
        ) from error
    if not curves.loss:
        raise SamDataError(f"{log}: found no training step, wanted the log of a run that trained.")
    return curves


def _cut(curve: dict[int, float], end: int) -> None:
    """Drop what a curve says from `end` on."""
    for step in [step for step in curve if step >= end]:
        del curve[step]


def draw_curves(runs: Sequence[Path], out: Path | None = None, *, names: Sequence[str | None] = ()) -> Path:
    """Draw the loss and the learning rate of runs over their steps.

    Args:
        runs: Folders of runs, or their `log.jsonl`.
        out: The PNG; by default `curves.png` in the first run's folder.
        names: What a person calls each; None, or none at all: by their folders.

    Returns:
        The PNG's path.

    Raises:
        SamDataError: A run has no log, or no step in it.
        SamConfigurationError: matplotlib is not installed, or two runs have one name.
    """
    drawing = figure(*_SIZE_INCHES)
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    folders = [log_of(run).parent for run in runs]
    for run, name in zip(runs, distinct_names(folders, names or [None] * len(runs)), strict=True):
        curves = read_curves(run)
        curves.name = name
        (line,) = upper.plot(*zip(*sorted(curves.loss.items()), strict=True), label=curves.name, linewidth=1)
        for name, means in sorted(curves.losses.items()):
            points = zip(*sorted(means.items()), strict=True)
            upper.plot(*points, ":", linewidth=1, label=f"{curves.name}, {name}")
        lower.plot(*zip(*sorted(curves.lr.items()), strict=True), linewidth=1)
        if curves.validation:
            points = zip(*sorted(curves.validation.items()), strict=True)
            upper.plot(*points, "o--", color=line.get_color(), label=f"{curves.name}, validation")
    upper.set_ylabel("loss (mean over target tokens)")
    lower.set_ylabel("learning rate")
    lower.set_xlabel("optimizer step")
    upper.legend()
    first = runs[0] if runs[0].is_dir() else runs[0].parent
    path = out or first / "curves.png"
    save_png(drawing, path)
    return path
