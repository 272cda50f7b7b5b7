"""The HTML page about a data set: funnel, examples, rejections by reason, score histograms, diversity.

One file, images inside, no scripts: it opens anywhere and can be sent to anybody.
"""

import html
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lavis_sam.datasets.images import to_rgb
from lavis_sam.files import leaves_root, write_text
from lavis_sam.pages import document, inline_image
from lavis_sam.synthesis.charts import bars, histogram
from lavis_sam.synthesis.dataset_writer import DUPLICATE_SCORE, REJECTIONS, SAMPLES, read_lines
from lavis_sam.synthesis.duplicates import DuplicateIndex
from lavis_sam.synthesis.finished import reading_finished
from lavis_sam.synthesis.quality import SCORES, Limits
from lavis_sam.synthesis.variety import Variety, variety_charts

_ACCEPTED_SHOWN = 6  # of each kind
_REJECTED_SHOWN = 4  # of each reason
_THUMBNAIL = 200
_ALIKE_SHOWN = 4  # pairs of samples
_STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 1rem; }
.card { border: 1px solid #ddd; border-radius: 6px; padding: .6rem; max-width: 100%; }
.card img { height: 150px; border-radius: 3px; margin-right: 4px; max-width: 100%; object-fit: contain; }
.card p { margin: .3rem 0 0; max-width: 34rem; } .muted { color: #777; font-size: .85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption { font-size: .85rem; color: #555; }
"""


def write_report(root: Path, path: Path) -> None:
    """Write the page about the data set in `root` to `path`.

    Raises:
        SamDataError: `root` holds no finished data set, or one whose records are damaged.
    """
    with reading_finished(root) as manifest:
        write_text(path, _page(root, manifest))


def _page(root: Path, manifest: Mapping[str, Any]) -> str:
    gathered = _Gathered(read_lines(root / SAMPLES))
    rejections = list(read_lines(root / REJECTIONS))
    parts = [
        _heading(manifest),
        "<h2>Funnel</h2>" + _funnel(manifest),
        "<h2>Accepted</h2>" + "".join(_accepted(root, kind, shown) for kind, shown in gathered.examples.items()),
        "<h2>Rejected</h2>" + _rejected(root, manifest, rejections),
        "<h2>Scores</h2>" + _scores(gathered, rejections, manifest),
        "<h2>Diversity</h2>" + _diversity(gathered) + _alike(root, gathered),
        "<h2>Sources and backends</h2>" + _sources(manifest),
    ]
    return document(f"{int(manifest['accepted'])} samples: {root.resolve().name}", _STYLE, "\n".join(parts))


class _Gathered:
    """What the page needs of all samples, in one pass."""

    def __init__(self, samples: Iterable[Mapping[str, Any]]) -> None:
        self.examples: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self.scores: dict[str, list[float]] = defaultdict(list)
        self.variety = Variety()
        self.answers: Counter[str] = Counter()
        self.instructions: Counter[str] = Counter()
        self.files: dict[int, list[str]] = {}
        self.alike: list[tuple[int, int, int]] = []
        self._index = DuplicateIndex()
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Mapping[str, Any]) -> None:
        if len(self.examples[sample["kind"]]) < _ACCEPTED_SHOWN:
            self.examples[sample["kind"]].append(sample)
        for name, values in sample["scores"].items():
            self.scores[name].extend(values)
        self._compare(sample)
        self.answers[sample["output"]] += 1
        self.instructions[sample["instruction"]] += 1
        self.variety.add(sample)

    def _compare(self, sample: Mapping[str, Any]) -> None:
        """Keep the few pairs (distance, slot, earlier slot) that are most alike."""
        hashes = tuple(image["hash"] for image in sample["pictures"])
        self.files[sample["slot"]] = [image["file"] for image in sample["pictures"]]
        nearest, distance = self._index.nearest(hashes)
        self._index.add(sample["slot"], hashes)
        if nearest is not None:
            self.alike = sorted([*self.alike, (distance, sample["slot"], nearest)])[:_ALIKE_SHOWN]


def _heading(manifest: Mapping[str, Any]) -> str:
    run = manifest["run"]
    settings = run["settings"]
    return (
        f"<p>{int(manifest['accepted'])} of {int(run['num'])} samples accepted from {int(manifest['tries'])} tries; "
        f"form <b>{html.escape(settings['form'])}</b>, split {html.escape(settings['split'])}, "
        f"seed {int(run['seed'])}, lavis_sam {html.escape(run['version'])}.</p>"
    )


def _funnel(manifest: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(stage)}<td class=number>{int(entry['entered'])}<td class=number>{int(entry['passed'])}"
        f"<td class=number>{entry['entered'] - entry['passed']}"
        for stage, entry in manifest["stages"].items()
    )
    kinds = "".join(
        f"<tr><td>{html.escape(kind)}<td class=number>{int(entry['accepted'])}<td class=number>{int(entry['rejected'])}"
        for kind, entry in manifest["kinds"].items()
    )
    chart = bars({stage: entry["passed"] for stage, entry in manifest["stages"].items()})
    return (
        f"{chart}<table><tr><th>stage<th>entered<th>passed<th>rejected{rows}</table>"
        f"<h3>By kind</h3><table><tr><th>kind<th>accepted<th>rejected{kinds}</table>"
    )


def _accepted(root: Path, kind: str, samples: Iterable[Mapping[str, Any]]) -> str:
    cards = []
    for sample in samples:
        images = "".join(embedded_image(root, image["file"]) for image in sample["pictures"])
        places = " · ".join(p["background"]["text"] for p in sample["pictures"] if p["background"]["text"])
        cards.append(
            f"<div class=card>{images}<p>{html.escape(sample['instruction'])}"
            f"<p><b>{html.escape(sample['output'])}</b>"
            f"<p class=muted>{html.escape(sample['id'])} {html.escape(places)}</div>"
        )
    return f"<h3>{html.escape(kind)}</h3><div class=cards>{''.join(cards)}</div>"


def _rejected(root: Path, manifest: Mapping[str, Any], rejections: list[dict[str, Any]]) -> str:
    if not rejections:
        return "<p>Nothing was rejected.</p>"
    parts = []
    for reason, entry in manifest["rejections"].items():
        kinds = ", ".join(f"{kind} {count}" for kind, count in entry["kinds"].items())
        meaning = SCORES.get(reason, "an error")
        parts.append(
            f"<h3>{html.escape(reason)}: {int(entry['count'])}</h3><p class=muted>{html.escape(meaning)}; stage "
            f"{html.escape(entry['stage'])}; {html.escape(kinds)}</p>"
        )
        same = [rejection for rejection in rejections if rejection["reason"] == reason]
        shown = sorted(same, key=lambda rejection: rejection["picture"] is None)[:_REJECTED_SHOWN]
        cards = "".join(
            f"<div class=card>{embedded_image(root, rejection['picture'])}<p>{_judgement(rejection)}"
            f"<p class=muted>{rejection['slot']:06d}, try {int(rejection['attempt'])}</div>"
            for rejection in shown
        )
        parts.append(f"<div class=cards>{cards}</div>")
    return "".join(parts)


def _judgement(rejection: Mapping[str, Any]) -> str:
    limit = html.escape(str(rejection["limit"]))
    return limit if rejection["value"] is None else f"{rejection['value']:g}, wanted {limit}"


def _scores(gathered: _Gathered, rejections: list[dict[str, Any]], manifest: Mapping[str, Any]) -> str:
    """Return a histogram a score: accepted values, and those that were rejected for it."""
    limits = {name: Limits(**entry) for name, entry in manifest["run"]["settings"]["quality"].items()}
    refused: dict[str, list[float]] = defaultdict(list)
    for rejection in rejections:
        if rejection["value"] is not None:
            refused[rejection["reason"]].append(rejection["value"])
    charts = []
    for name, meaning in SCORES.items():
        if gathered.scores.get(name) or refused.get(name):
            limit = limits.get(name, Limits())
            chart = histogram(gathered.scores.get(name, []), refused.get(name, []), limit.min, limit.max)
            charts.append(f"<figure><b>{name}</b>{chart}<figcaption>{html.escape(meaning)}</figcaption></figure>")
    legend = "<p class=muted>Blue: accepted; red: rejected for it; line: threshold.</p>"
    return f"{legend}<div class=charts>{''.join(charts)}</div>"


def _diversity(gathered: _Gathered) -> str:
    total = sum(gathered.answers.values())
    distances = gathered.scores.get(DUPLICATE_SCORE, [])
    nearest = f"{min(distances):g} bits" if distances else "unknown"
    return (
        f"<p>{len(gathered.answers)} different answers and {len(gathered.instructions)} different instructions in "
        f"{total} samples; the two most alike samples differ by {nearest} of 64.</p>"
    ) + variety_charts(gathered.variety.as_dict())


def _alike(root: Path, gathered: _Gathered) -> str:
    """Return the accepted samples that are nearest to being near duplicates, side by side."""
    if not gathered.alike:
        return ""
    cards = []
    for distance, slot, earlier in gathered.alike:
        strips = (
            "".join(embedded_image(root, file) for file in gathered.files[which]) + f"<p class=muted>{which:06d}</p>"
            for which in (earlier, slot)
        )
        cards.append(f"<div class=card>{''.join(strips)}<p>{distance} bits apart</div>")
    return f"<h3>Most alike</h3><div class=cards>{''.join(cards)}</div>"


def _sources(manifest: Mapping[str, Any]) -> str:
    rows = []
    for kind, source in manifest["sources"].items():
        skipped = ", ".join(f"{entry['count']} x {reason}" for reason, entry in source["left_out"].items()) or "nothing"
        rows.append(
            f"<tr><td>{html.escape(kind)}<td>{html.escape(source['name'])}<td>{html.escape(source['licence'])}"
            f"<td>{html.escape(skipped)}"
        )
    backends = "".join(
        f"<tr><td>{html.escape(job)}<td>{html.escape(name)}" for job, name in manifest["run"]["backends"].items()
    )
    return (
        f"<table><tr><th>kind<th>source<th>licence<th>left out{''.join(rows)}</table>"
        f"<h3>Backends</h3><table>{backends}</table>"
    )


def embedded_image(root: Path, file: str | None, side: int = _THUMBNAIL) -> str:
    """Return an image inside the page; nothing where there is no file (any more), a word where it is elsewhere."""
    if file is None:
        return ""
    # A path or a link that leads out of the data set is a stranger's.
    if leaves_root(file) or not (root / file).resolve().is_relative_to(root.resolve()):
        return "<p class=muted>an image outside the data set is not shown</p>"
    if not (root / file).is_file():
        return ""
    small = to_rgb(root / file, str(root / file))
    # Rejected examples are strips of several images: only their height is limited.
    small.thumbnail((side * 6, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return inline_image(buffer.getvalue(), "jpeg")
