"""Data sets at hand beside those of the paper's Table 1, as Markdown; which numbers are whose is always said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Samples, in thousands, as the paper prints them (Wu et al. 2024, section 3 and Table 1).
PUBLISHED = {"MmLINK": 69, "Spot-the-Diff": 13, "CLEVR-Change": 79, "ImageCoDe": 21, "VPG-C": 64}
_HEADS = (
    "data set", "numbers", "samples", "images a sample", "automation", "distinct contexts", "near duplicates",
    "different words of answers",
)  # fmt: skip
_UNKNOWN = "–"


def published_records() -> list[dict[str, Any]]:
    """Return the paper's numbers as data."""
    return [{"name": name, "samples_in_thousands": count, "source": "paper"} for name, count in PUBLISHED.items()]


def as_markdown(measured: Iterable[Mapping[str, Any]]) -> str:
    """Return the table: measured sets first, each as `diversity` gives it, then the published ones."""
    rows = [_row(found) for found in measured]
    rows += [[name, "paper", f"{count}K", *[_UNKNOWN] * 5] for name, count in PUBLISHED.items()]
    cells = [_HEADS, ["---"] * len(_HEADS), *([_cell(text) for text in row] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def automation(found: Mapping[str, Any]) -> str:
    """Say who made the samples, as far as the set says: the backends of a synthesis, in which no person takes part."""
    if found["synthesis"] is None:
        return "not recorded"
    stages = [backend for job, backend in found["synthesis"]["backends"].items() if not job.startswith("source ")]
    return f"full: {', '.join(dict.fromkeys(stages))}"


def _row(found: Mapping[str, Any]) -> Sequence[str]:
    contexts, counts, compared = found["contexts"], found["images_per_sample"], found["compared"]
    distinct = _UNKNOWN
    if contexts["distinct"] is not None:
        distinct = f"{contexts['distinct']:.0%} of samples, median {contexts['median_bits']:g} bits"
    if found["synthesis"] is not None and found["synthesis"]["scenes"]:
        distinct += f"; {len(found['synthesis']['scenes'])} scenes"
    return [
        found["name"],
        "measured",
        f"{found['samples']:,}",
        f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}",
        automation(found),
        distinct,
        f"{found['near_duplicates']['samples']:,} of {compared:,}" if compared else _UNKNOWN,
        f"{found['answers']['different_words']:,}",
    ]


def _cell(text: str) -> str:
    """Return a text that ends no cell and no line."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
