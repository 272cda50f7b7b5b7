"""Several data sets on one page: how their scores lie, beside the backends that made them.

The embedded parts and the paper's, or two models of one stage: whatever the sets were made with, a score of all of them
has one axis. A score of a try that was refused for another one is not recorded, so what is shown are accepted samples,
and how many tries each score has refused.
"""

import html
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import write_text
from lavis_sam.pages import document, table
from lavis_sam.synthesis.charts import ranges
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.finished import reading_finished
from lavis_sam.synthesis.quality import SCORES, Limits

# First part of a score's name -> the jobs whose backends decide it.
_JOBS = {
    "mask": ("segment",),
    "composite": ("segment",),
    "subject": ("inpaint",),
    "background": ("background", "inpaint"),
    "semantic": ("inpaint", "score"),
    "text": ("describe", "refine"),
    "duplicates": (),
}
_STYLE = "figure { margin: 0 0 .5rem; } .muted { color: #777; font-size: .85rem; }"


@dataclass(frozen=True)
class Measured:
    """What a data set's records say.

    Attributes:
        backends: Job -> name and version.
        scores: Score -> values of all accepted samples.
        refused: Score, or class of an error -> tries that were refused for it.
        limits: Score -> threshold.
    """

    name: str
    accepted: int
    tries: int
    backends: Mapping[str, str]
    scores: Mapping[str, Sequence[float]]
    refused: Mapping[str, int]
    limits: Mapping[str, Limits]

    def made_by(self, score: str) -> str:
        """Return the backends that decide a score; "" where none does."""
        jobs = _JOBS[score.split(".")[0]]
        return ", ".join(self.backends[job] for job in jobs if job in self.backends)


def read_measured(name: str, root: Path) -> Measured:
    """Gather the scores of the data set in `root`.

    Raises:
        SamDataError: There is none, or its records are damaged.
    """
    scores: dict[str, list[float]] = defaultdict(list)
    with reading_finished(root) as manifest:
        for sample in read_lines(root / SAMPLES):
            for score, values in sample["scores"].items():
                scores[score].extend(map(float, values))
        return Measured(
            name,
            int(manifest["accepted"]),
            int(manifest["tries"]),
            {str(job): str(backend) for job, backend in manifest["run"]["backends"].items()},
            scores,
            {reason: int(entry["count"]) for reason, entry in manifest["rejections"].items()},
            {score: Limits(**limit) for score, limit in manifest["run"]["settings"]["quality"].items()},
        )


def write_side_by_side(roots: Mapping[str, Path], path: Path) -> None:
    """Write the page.

    Args:
        roots: Name -> data set, at least two.

    Raises:
        SamDataError: One is no finished data set, or its records are damaged.
    """
    sets = [read_measured(name, root) for name, root in roots.items()]
    parts = ["<h2>Backends</h2>", _backends(sets), "<h2>Funnel</h2>", _funnel(sets), "<h2>Scores</h2>"]
    parts += [_score(score, sets) for score in SCORES if any(one.scores.get(score) for one in sets)]
    write_text(path, document(" and ".join(roots), _STYLE, "".join(parts)))


def unique_names(named: Iterable[tuple[str | None, Path]]) -> dict[str, Path]:
    """Return name -> data set: a folder's own name where it was given none.

    Raises:
        SamConfigurationError: Two have one name.
    """
    roots: dict[str, Path] = {}
    for given, root in named:
        name = given or root.resolve().name
        if name in roots:
            raise SamConfigurationError(
                f"{root}: found two data sets called {name!r}, wanted names that differ; write NAME={root}."
            )
        roots[name] = root
    return roots


def _backends(sets: Sequence[Measured]) -> str:
    jobs = sorted({job for one in sets for job in one.backends})
    rows = ([job, *(one.backends.get(job, "–") for one in sets)] for job in jobs)
    return table(["", *(one.name for one in sets)], rows)


def _funnel(sets: Sequence[Measured]) -> str:
    reasons = sorted({reason for one in sets for reason in one.refused})
    rows = [["accepted", *(f"{one.accepted} of {one.tries} tries" for one in sets)]]
    for reason in reasons:
        counts = [one.refused.get(reason, 0) for one in sets]
        shares = [count / one.tries if one.tries else 0.0 for count, one in zip(counts, sets, strict=True)]
        rows.append([reason, *(f"{count} ({share:.1%})" for count, share in zip(counts, shares, strict=True))])
    return table(["refused for", *(one.name for one in sets)], rows)


def _score(score: str, sets: Sequence[Measured]) -> str:
    measured = {one.name: one.scores[score] for one in sets if one.scores.get(score)}
    rows, limits = [], set()
    for one in sets:
        values = one.scores.get(score, ())
        limit = one.limits.get(score, Limits())
        limits.add(limit)
        low, median, high = (f"{value:.3g}" for value in np.percentile(values, (5, 50, 95))) if values else ["–"] * 3
        rows.append([one.name, one.made_by(score), str(len(values)), low, median, high, _bounds(limit)])
    # Lines of a threshold only where all sets have the same.
    common = limits.pop() if len(limits) == 1 else Limits()
    chart = ranges(measured, common.min, common.max)
    heads = ["", "backends", "values", "5 %", "median", "95 %", "threshold"]
    return (
        f"<h3>{score}</h3><p class=muted>{html.escape(SCORES[score])}</p><figure>{chart}</figure>{table(heads, rows)}"
    )


def _bounds(limit: Limits) -> str:
    bounds = [f"{side} {value:g}" for side, value in (("min", limit.min), ("max", limit.max)) if value is not None]
    return ", ".join(bounds) or "–"
