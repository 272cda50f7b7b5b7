"""Tables of scores on the terminal, for `score`, `compare`, `benchmark` and `baseline`; it imports nothing heavy."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from lavis_sam.terminal import printable_console

_WIDTH = 120  # where standard output is no terminal


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print rows under their heads; a row whose first cell begins with "average" is bold."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row, style="bold" if row[0].startswith("average") else None)
    printable_console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


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
