"""The report of a sweep: report.html, one page with everything inside, and report.json for programs."""

import html
import io
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.experiments.findings import findings
from lavis_sam.experiments.jobs import FINISHED
from lavis_sam.files import write_json, write_text
from lavis_sam.metrics.protocols import METRICS
from lavis_sam.pages import document, inline_image
from lavis_sam.plotting import draw_surface, figure

if TYPE_CHECKING:  # PyTorch comes with it
    from lavis_sam.experiments.guidance_images import GuidanceImages

# A case of `findings` -> its sample with images, or None.
LookUp = Callable[[Mapping[str, Any]], EvaluationSample | None]
_THUMBNAIL = 180
PAGE, DATA = "report.html", "report.json"
_STYLE = """
.wide { overflow-x: auto; } td.number { white-space: nowrap; } img { max-width: 100%; }
.muted { color: #777; font-size: .85rem; } .failed { color: #b00; }
"""


def write_report(out: Path, look_up: LookUp = lambda case: None, *, guidance: Collection[str] = ()) -> Path:
    """Write the report of a sweep into its folder.

    Args:
        out: The folder.
        look_up: Finds the sample of a case, with its images; None where they are gone.
        guidance: Rows whose trained layers draw what guides what in each case; each is loaded for it.

    Returns:
        The page.

    Raises:
        SamConfigurationError: `guidance` names no row, or one in which nothing guides.
        SamDataError: There is no sweep, or its results are damaged.
    """
    found = findings(out)
    seen = {(case["set"], case["sample"]): look_up(case) for case in found["cases"]}
    samples = {key: sample for key, sample in seen.items() if sample is not None}
    drawn: GuidanceImages = {}
    if guidance:
        from lavis_sam.experiments.guidance_images import guidance_images

        drawn = guidance_images(out, found, guidance, samples)
    write_json(out / DATA, found)
    write_text(out / PAGE, _page(out.resolve().name, found, samples, drawn))
    return out / PAGE


def _page(
    title: str, found: Mapping[str, Any], samples: Mapping[tuple[str, str], EvaluationSample], drawn: "GuidanceImages"
) -> str:
    parts = [_runs(found)]
    for name in found["sets"]:
        parts += [_scores(name, found), _differences(name, found), _surface(name, found)]
    parts += [_curves(found), _cases(found, samples, drawn)]
    return document(title, _STYLE, "".join(parts))


def _runs(found: Mapping[str, Any]) -> str:
    runs = found["runs"]
    finished = sum(run["status"] == FINISHED for run in runs)
    others = [run for run in runs if run["status"] != FINISHED]
    lines = (f"{run['row']}, seed {run['seed']}: {run['status']}. {run['message']}" for run in others)
    listed = "".join(f'<li class="failed">{_text(line)}</li>' for line in lines)
    return f"<p>{finished} of {len(runs)} runs are finished; seeds {_text(found['seeds'])}.</p><ul>{listed}</ul>"


def _scores(name: str, found: Mapping[str, Any]) -> str:
    entry = found["sets"][name]
    metrics = [metric for metric in METRICS if any(metric in row for row in entry["scores"].values())]
    rows = (
        [found["rows"][row], *(_with_interval(scores.get(metric)) for metric in metrics), str(len(_seeds(scores)))]
        for row, scores in entry["scores"].items()
    )
    heads = ["Row", *(METRICS[metric].title for metric in metrics), "seeds"]
    note = f"Protocol {entry['protocol']}, {entry['count']} samples, ×100; in brackets the 95 % interval over seeds."
    return f"<h2>{_text(name)}</h2><p class=muted>{_text(note)}</p>{_table(heads, rows)}"


def _seeds(scores: Mapping[str, Any]) -> Mapping[str, float]:
    return next((values["seeds"] for values in scores.values()), {})


def _differences(name: str, found: Mapping[str, Any]) -> str:
    titles = found["rows"]
    rows = (
        [
            f"{titles[entry['rows'][1]]} − {titles[entry['rows'][0]]}",
            METRICS[entry["metric"]].title if entry["metric"] in METRICS else entry["metric"],
            _with_interval(entry),
            "–" if entry["p_seeds"] is None else f"{entry['p_seeds']:.3f}",
            ", ".join(f"{value:.3f}" for value in entry["p_samples"].values()),
        ]
        for entry in found["comparisons"]
        if entry["set"] == name
    )
    return _table(["Difference", "Metric", "×100", "p over seeds", "p over samples, by seed"], rows)


def _with_interval(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "–"
    if entry["low"] is None:
        return f"{entry['mean']:.2f}"
    return f"{entry['mean']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]"


def _curves(found: Mapping[str, Any]) -> str:
    drawn = figure(9, 4.5)
    axes = drawn.subplots()
    for number, (row, seeds) in enumerate(found["curves"].items()):
        for place, losses in enumerate(seeds.values()):
            steps = sorted((int(step), loss) for step, loss in losses.items())
            label = found["rows"][row] if place == 0 else None
            axes.plot(*zip(*steps, strict=True), color=f"C{number % 10}", linewidth=1, label=label)
    if not axes.lines:
        return ""
    axes.set(xlabel="step", ylabel="training loss")
    axes.legend()
    return f"<h2>Learning curves</h2>{_drawn(drawn, 'training loss of every run')}"


def _surface(name: str, found: Mapping[str, Any]) -> str:
    """Draw Figure 5: the scores over the interaction layers, where the rows go through several of both."""
    scores = found["sets"][name]["scores"]
    places = {
        row: (options["model.guidance.layer_l"], options["model.guidance.layer_k"])
        for row, options in found["options"].items()
        if row in scores and all(isinstance(options.get(f"model.guidance.layer_{x}"), int) for x in "lk")
    }
    ls, ks = (sorted({place[axis] for place in places.values()}) for axis in (0, 1))
    if len(ls) < 2 or len(ks) < 2:
        return ""
    metrics = [metric for metric in METRICS if all(metric in scores[row] for row in places)]
    drawn = figure(3.2 * len(metrics), 3)
    for axes, metric in zip(drawn.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        draw_surface(axes, {place: scores[row][metric]["mean"] for row, place in places.items()})
        axes.set(title=METRICS[metric].title)
    return _drawn(drawn, "scores over the interaction layers l and k")


def _drawn(drawn: Any, text: str) -> str:
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return inline_image(buffer.getvalue(), "png", text)


def _cases(
    found: Mapping[str, Any], samples: Mapping[tuple[str, str], EvaluationSample], drawn: "GuidanceImages"
) -> str:
    parts = []
    for case in found["cases"]:
        key = case["set"], case["sample"]
        sample = samples.get(key)
        asked = _text(sample.instruction) if sample else "its images are not here any more"
        images = "".join(_small(image, "an image of the sample") for image in sample.images) if sample else ""
        guides = "".join(_guides(found["rows"][row], image) for row, image in drawn.get(key, ()))
        answers = "".join(
            f"<tr><td>{_text(found['rows'][row])}</td><td>{_text(answer)}</td>"
            f'<td class="number">{case["rouge"][row]:.1f}</td></tr>'
            for row, answer in case["answers"].items()
        )
        parts.append(
            f"<p><b>{_text(case['set'])}, {_text(case['sample'])}</b>, seed {case['seed']}: {asked}</p>{images}"
            f"<p>Wanted: {_text(' / '.join(case['reference']))}</p><table>{answers}</table>{guides}"
        )
    return f"<h2>Where rows differ most (ROUGE-L of a sample)</h2>{''.join(parts)}" if parts else ""


def _guides(title: str, image: Image.Image) -> str:
    shown = _small(image, f"what guides what, {title}", size=max(image.size))
    return f"<details><summary>Guidance: {_text(title)}</summary>{shown}</details>"


def _small(image: Image.Image, text: str, *, size: int = _THUMBNAIL) -> str:
    small = image.convert("RGB")
    small.thumbnail((size, size))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return inline_image(buffer.getvalue(), "jpeg", text)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{_text(text)}</th>" for text in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=number' if place else ''}>{_text(text)}</td>" for place, text in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _text(value: Any) -> str:
    return html.escape(str(value))
