"""What the runs of a sweep say together: means and intervals over seeds, differences of rows, cases.

An interval over seeds is Student's, at 95 %; with one seed there is none. A difference of two rows is taken seed by
seed, so that what a seed does to both cancels out; beside it stands, for each seed, the permutation test over samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from lavis_sam.errors import SamDataError
from lavis_sam.evaluation.run_folder import PREDICTIONS_FILE, SAMPLE_SCORES_FILE, Results, read_run
from lavis_sam.experiments.jobs import FAILED, FINISHED, JOBS, STOPPED, read_description
from lavis_sam.files import read_json
from lavis_sam.metrics.predictions import read_predictions
from lavis_sam.metrics.protocols import METRICS
from lavis_sam.progress import tracked
from lavis_sam.reports.comparison import compare
from lavis_sam.run_layout import RESULT_FOLDER, results_of
from lavis_sam.training.curves import read_curves
from lavis_sam.training.output_folder import is_finished

LEVEL = 0.95
CASES = 8
_REMEDY = "Run `lavis-sam sweep` again."


def findings(out: Path) -> dict[str, Any]:
    """Read everything that a sweep has finished so far, as plain data.

    Args:
        out: The sweep's folder.

    Returns:
        `rows` (name -> title), `options` (name -> settings), `seeds`, `runs` (how each ended), `sets` (data set ->
        protocol, count and scores: row -> metric -> mean, low, high, seeds), `comparisons`, `cases` (where two rows
        differ most, with every row's answer) and `curves` (row -> seed -> step -> loss).

    Raises:
        SamDataError: There is no sweep, or its results are damaged or belong to different data.
    """
    described = read_description(out)
    names, seeds = list(described["rows"]), list(described["seeds"])
    further = [Path(entry["name"]).stem for entry in described["evaluate"]]
    runs = [_ended(out, row, seed, further) for row in names for seed in seeds]
    found = {
        (run["row"], run["seed"]): dict(_results(out / run["row"] / f"seed-{run['seed']}"))
        for run in runs
        if run["status"] == FINISHED
    }
    sets = list(dict.fromkeys(name for results in found.values() for name in results))
    pairs = described.get("compare") or [[names[0], name] for name in names[1:]]
    return {
        "rows": {name: row["title"] for name, row in described["rows"].items()},
        "options": {name: row["options"] for name, row in described["rows"].items()},
        "seeds": seeds,
        "runs": runs,
        "sets": {name: _set(name, found) for name in sets},
        "comparisons": [
            entry
            for name, pair in tracked([(n, p) for n in sets for p in pairs], "comparing rows", len(sets) * len(pairs))
            for entry in _compared(name, pair, seeds, found)
        ],
        "cases": [case for name in sets for case in _cases(out, name, pairs, seeds, found)],
        "curves": {
            name: {str(s): _losses(out / name / f"seed-{s}") for s in seeds if (name, s) in found}
            for name, row in described["rows"].items()
            if row["train"]
        },
    }


def _ended(out: Path, row: str, seed: int, further: Sequence[str]) -> dict[str, Any]:
    """Return how a run ended. Its own logs say whether it is finished: a killed sweep could not note it any more."""
    path, folder = out / JOBS / f"{row}.seed-{seed}.json", out / row / f"seed-{seed}"
    noted = dict(read_json(path, remedy=_REMEDY, wanted=dict)) if path.is_file() else {}
    if all(map(is_finished, [folder, *(folder / "evaluations" / name for name in further)])):
        return {"row": row, "seed": seed, "status": FINISHED, "seconds": noted.get("seconds", 0.0), "message": ""}
    status = STOPPED if folder.is_dir() else "not begun"
    if noted.get("status") == FAILED:
        status = FAILED
    message = str(noted.get("message", "")) if noted.get("status") != FINISHED else ""
    return {"row": row, "seed": seed, "status": status, "seconds": noted.get("seconds", 0.0), "message": message}


def _results(folder: Path) -> Iterator[tuple[str, Results]]:
    """Yield the results of a run and of its further evaluations, each under the name of its column."""
    places = [(folder, "")] + [(place, f" ({place.name})") for place in sorted((folder / "evaluations").glob("*"))]
    for place, suffix in places:
        if (place / RESULT_FOLDER).is_dir():
            for results in read_run(results_of(place)).results:
                yield results.title + suffix, results


def _set(name: str, found: Mapping[tuple[str, int], Mapping[str, Results]]) -> dict[str, Any]:
    """Return the scores of every row on one data set."""
    results = {key: by_set[name] for key, by_set in found.items() if name in by_set}
    first = next(iter(results.values()))
    for other in results.values():
        if (other.data, other.protocol) != (first.data, first.protocol):
            raise SamDataError(
                f"{first.folder} and {other.folder} were evaluated on different data or under different protocols; "
                "wanted the same for every row of a sweep."
            )
    scores: dict[str, Any] = {}
    for row in dict.fromkeys(row for row, _ in results):
        by_seed = {seed: result.corpus for (one, seed), result in results.items() if one == row}
        kept = [metric for metric in METRICS if all(metric in corpus for corpus in by_seed.values())]
        scores[row] = {metric: _over_seeds({seed: by_seed[seed][metric] for seed in by_seed}) for metric in kept}
    return {"protocol": first.protocol, "count": first.count, "scores": scores}


def _over_seeds(values: Mapping[int, float]) -> dict[str, Any]:
    return {**interval(list(values.values())), "seeds": {str(seed): value for seed, value in values.items()}}


def interval(values: Sequence[float]) -> dict[str, float | None]:
    """Return mean and Student's interval of a number over seeds; of one seed the mean alone."""
    mean = fmean(values)
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None}
    from scipy.stats import t  # type: ignore[import-untyped]

    half = float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _compared(
    name: str, pair: Sequence[str], seeds: Sequence[int], found: Mapping[tuple[str, int], Mapping[str, Results]]
) -> Iterator[dict[str, Any]]:
    """Yield the difference of two rows on one data set, for each metric."""
    both = [
        (seed, found[pair[0], seed][name], found[pair[1], seed][name])
        for seed in seeds
        if name in found.get((pair[0], seed), {}) and name in found.get((pair[1], seed), {})
    ]
    if not both:
        return
    by_seed = {
        seed: compare(
            read_predictions(one.folder / PREDICTIONS_FILE),
            read_predictions(two.folder / PREDICTIONS_FILE),
            names=(pair[0], pair[1]),
            protocol=one.protocol,
        ).metrics
        for seed, one, two in both
    }
    for metric in next(iter(by_seed.values())):
        differences = [metrics[metric].difference for metrics in by_seed.values()]
        yield {
            "set": name,
            "rows": list(pair),
            "metric": metric,
            **interval(differences),
            "p_seeds": _paired_p(differences),
            "p_samples": {str(seed): metrics[metric].p_value for seed, metrics in by_seed.items()},
        }


def _paired_p(differences: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Student's paired test; None where the seeds cannot say."""
    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)


def _cases(
    out: Path,
    name: str,
    pairs: Sequence[Sequence[str]],
    seeds: Sequence[int],
    found: Mapping[tuple[str, int], Mapping[str, Results]],
) -> list[dict[str, Any]]:
    """Return the samples of a data set on which the rows of a pair differ most, under the first seed with all rows."""
    rows = list(dict.fromkeys(row for row, _ in found))
    seed = next((s for s in seeds if all(name in found.get((row, s), {}) for row in rows)), None)
    if seed is None:
        return []
    results = {row: found[row, seed][name] for row in rows}
    scores = {
        row: {str(e["id"]): float(e["rouge"]) for e in read_json(r.folder / SAMPLE_SCORES_FILE, remedy=_REMEDY)}
        for row, r in results.items()
    }
    answers = {
        row: {str(p.sample_id): p for p in read_predictions(r.folder / PREDICTIONS_FILE)} for row, r in results.items()
    }
    gains = [
        (scores[first][sample] - scores[second][sample], sample)
        for first, second in pairs
        if first in results and second in results
        for sample in scores[first]
    ]
    # The largest gain of a pair's second row comes first; a sample comes once.
    chosen = dict.fromkeys(sample for gain, sample in sorted(gains) if gain != 0)
    described = results[rows[0]]
    return [
        {
            "set": name,
            "dataset": described.dataset,
            "split": described.folder.parent.name,
            "run": described.folder.parents[2].relative_to(out).as_posix(),
            "seed": seed,
            "sample": sample,
            "reference": list(answers[rows[0]][sample].references),
            "answers": {row: answers[row][sample].text for row in rows},
            "rouge": {row: 100 * scores[row][sample] for row in rows},
        }
        for sample in list(chosen)[:CASES]
    ]


def _losses(run: Path) -> dict[str, float]:
    return {str(step): loss for step, loss in read_curves(run).loss.items()}
