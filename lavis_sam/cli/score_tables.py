"""Tables on the terminal, those of scores among them; it imports nothing heavy."""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lavis_sam.terminal import printable_console

if TYPE_CHECKING:
    from rich.text import Text

_WIDTH = 120


def print_table(
    heads: Sequence[str],
    rows: Iterable[Sequence["str | Text"]],
    title: str | None = None,
    *,
    left: Collection[str] | None = None,
    width: int = _WIDTH,
) -> None:
    """Print rows under their heads; a row whose first cell begins with "average" is bold.

    Args:
        left: Heads of columns of words, which stand on the left and are folded where they are long; by default the
            first one. Numbers stand on the right.
        width: Where standard output is no terminal.
    """
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    words = heads[:1] if left is None else left
    for head in heads:
        table.add_column(head, justify="left" if head in words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row, style="bold" if str(row[0]).startswith("average") else None)
    printable_console(width=None if sys.stdout.isatty() else width).print(table)


def print_scores(protocol: str, rows: Iterable[tuple[str, int | None, Mapping[str, float | None]]]) -> None:
    """Print a row for each data set or average: its name, how many samples it has, its scores x100."""
    from lavis_sam.metrics.protocols import METRICS

    heads = ("data set", "samples", *(metric.title for metric in METRICS.values()))
    cells = (
        (name, "" if count is None else str(count), *(_cell(corpus.get(metric)) for metric in METRICS))
        for name, count, corpus in rows
    )
    print_table(heads, cells, f"protocol {protocol}, x100")


def _cell(score: float | None) -> str:
    return "–" if score is None else f"{score:.2f}"
