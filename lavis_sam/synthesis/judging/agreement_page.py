"""What ratings say of the raters and of the automatic checks, as agreement.html and agreement.json."""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.files import write_json, write_text
from lavis_sam.pages import document, table
from lavis_sam.synthesis.charts import curves
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.finished import reading_finished
from lavis_sam.synthesis.judging.agreement import agreement_of_raters, all_checks, checks, rated_samples
from lavis_sam.synthesis.judging.ratings import read_ratings
from lavis_sam.synthesis.quality import SCORES, Limits

PAGE, DATA = "agreement.html", "agreement.json"
_STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption, .muted { font-size: .85rem; color: #555; }
"""
_HEADS = ("check", "bad / rated", "threshold", "refused", "precision", "recall", "best F1 at", "precision", "recall")


def judge(root: Path, files: Iterable[Path], limits: Mapping[str, Limits] | None = None) -> dict[str, Any]:
    """Compare raters with one another, and each automatic check with what most raters say.

    Args:
        root: The data set that was rated.
        files: One a rater.
        limits: The thresholds to judge; by default those that the data set was made with.

    Raises:
        SamDataError: A file or the data set is damaged, or they do not belong together.
    """
    with reading_finished(root) as manifest:
        scores = {str(sample["id"]): sample["scores"] for sample in read_lines(root / SAMPLES)}
        ratings = read_ratings(files, manifest["sha256"][SAMPLES], scores)
        made_with = {name: Limits(**entry) for name, entry in manifest["run"]["settings"]["quality"].items()}
        limits = made_with if limits is None else limits
        rated, divided = rated_samples(scores, ratings)
        return {
            "dataset": root.resolve().name,
            "raters": {one.rater: len(one.good) for one in ratings},
            "rated": len(rated),
            "divided": divided,
            "agreement": agreement_of_raters(ratings),
            "all_checks": all_checks(rated, limits),
            "checks": checks(rated, limits),
        }


def write_agreement(out: Path, found: Mapping[str, Any]) -> None:
    """Write what `judge` found into a folder."""
    write_json(out / DATA, found)
    write_text(out / PAGE, _page(found))


def _page(found: Mapping[str, Any]) -> str:
    raters = ", ".join(f"{rater} ({count})" for rater, count in found["raters"].items())
    divided = ", ".join(f"{aspect} {count}" for aspect, count in found["divided"].items())
    parts = [
        f"<p>{found['rated']} samples rated by {html.escape(raters)}. Raters are divided, and no check is judged by "
        f"it, for: {html.escape(divided)}.</p>",
        "<h2>Agreement of raters</h2>" + _agreement(found["agreement"]),
        "<h2>All checks together</h2>" + _together(found["all_checks"]),
        "<h2>Each check</h2>" + _checks(found["checks"]) + _curves(found["checks"]),
    ]
    return document(f"Ratings of {found['dataset']}", _STYLE, "".join(parts))


def _agreement(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return "<p>One rater alone has nobody to agree with.</p>"
    rows = (
        [" and ".join(pair["raters"]), pair["aspect"], str(pair["samples"]), _share(pair["agreement"]), _kappa(pair)]
        for pair in pairs
    )
    note = "Cohen's kappa: 1 is full agreement, 0 what chance gives; in brackets its 95 % interval."
    return f"<p class=muted>{note}</p>" + table(("raters", "of", "samples", "agree", "kappa"), rows)


def _kappa(pair: Mapping[str, Any]) -> str:
    if pair["kappa"] is None:
        return "–"
    return f"{pair['kappa']:.2f} [{pair['low']:.2f}, {pair['high']:.2f}]"


def _together(found: Mapping[str, Any]) -> str:
    return (
        f"<p>At the thresholds judged here {found['refused']} of {found['samples']} samples are refused. Precision "
        f"{_precision(found)}: so many of those do raters call bad. Recall {_share(found['recall'])}: so many of the "
        f"{found['bad']} bad ones are refused.</p>"
    )


def _checks(found: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for check in found:
        now, best = check["now"], check["best_f1"]
        cells = [f"{check['score']} {check['side']}", f"{check['bad']} / {check['samples']}"]
        cells += ["–"] * 4 if now is None else _cells(now, _precision(now))
        cells += ["–"] * 3 if best is None else [f"{best['threshold']:g}", *_cells(best, _share(best["precision"]))[2:]]
        rows.append(cells)
    note = (
        "Bad is what most raters call bad: the text for text.*, the images for all others. The threshold with the best "
        "F1 was found on these very ratings: confirm it on others before you trust its numbers."
    )
    return f"<p class=muted>{note}</p>" + table(_HEADS, rows)


def _cells(point: Mapping[str, Any], precision: str) -> list[str]:
    return [f"{point['threshold']:g}", str(point["refused"]), precision, _share(point["recall"])]


def _curves(found: Sequence[Mapping[str, Any]]) -> str:
    charts = []
    for check in found:
        if check["best_f1"] is not None:
            points = check["curve"]
            lines = {key: [point[key] for point in points] for key in ("precision", "recall")}
            threshold = None if check["now"] is None else check["now"]["threshold"]
            chart = curves([point["threshold"] for point in points], lines, threshold)
            charts.append(
                f"<figure><b>{html.escape(check['score'])} {check['side']}</b>{chart}"
                f"<figcaption>{html.escape(SCORES[check['score']])}</figcaption></figure>"
            )
    legend = "<p class=muted>Blue: precision; red: recall, both from 0 to 1; dashed: the threshold judged here.</p>"
    return f"{legend}<div class=charts>{''.join(charts)}</div>" if charts else ""


def _precision(point: Mapping[str, Any]) -> str:
    if point["precision"] is None:
        return "–"
    low, high = point["precision_interval"]
    return f"{point['precision']:.2f} [{low:.2f}, {high:.2f}]"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
