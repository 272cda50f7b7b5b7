"""The report of a sweep: report.html, one page with everything inside, and report.json for programs."""

import base64
import html
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lavis_sam.experiments.findings import findings
from lavis_sam.experiments.jobs import FINISHED
from lavis_sam.files import write_json, write_text
from lavis_sam.metrics.protocols import METRICS
from lavis_sam.plotting import figure

PAGE, DATA = "report.html", "report.json"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.muted { color: #777; font-size: .85rem; } .failed { color: #b00; } img { max-width: 100%; }
"""
# Nothing is loaded and nothing runs, whatever the answers say.
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
)


def write_report(out: Path) -> Path:
    """Write the report of a sweep into its folder.

    Returns:
        The page.

    Raises:
        SamDataError: There is no sweep, or its results are damaged.
    """
    found = findings(out)
    write_json(out / DATA, found)
    write_text(out / PAGE, _page(out.resolve().name, found))
    return out / PAGE


def _page(title: str, found: Mapping[str, Any]) -> str:
    parts = [_runs(found)]
    for name in found["sets"]:
        parts += [_scores(name, found), _differences(name, found)]
    parts += [_curves(found), _cases(found)]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{_POLICY}'
        f'<meta name="viewport" content="width=device-width"><title>{_text(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{_text(title)}</h1>{''.join(parts)}</body></html>\n"
    )


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
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    drawing = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<h2>Learning curves</h2><img alt="training loss of every run" src="data:image/png;base64,{drawing}">'


def _cases(found: Mapping[str, Any]) -> str:
    parts = []
    for case in found["cases"]:
        answers = "".join(
            f"<tr><td>{_text(found['rows'][row])}</td><td>{_text(answer)}</td>"
            f'<td class="number">{case["rouge"][row]:.1f}</td></tr>'
            for row, answer in case["answers"].items()
        )
        parts.append(
            f"<p><b>{_text(case['set'])}, {_text(case['sample'])}</b>, seed {case['seed']}. "
            f"Wanted: {_text(' / '.join(case['reference']))}</p><table>{answers}</table>"
        )
    return f"<h2>Where rows differ most (ROUGE-L of a sample)</h2>{''.join(parts)}" if parts else ""


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
