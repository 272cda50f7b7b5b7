"""The numbers that the paper printed, with table, row and column. They are never mixed with measured ones."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml  # type: ignore[import-untyped]

from lavis_sam.errors import SamDataError

_FILE = "published.yaml"


@dataclass(frozen=True)
class PublishedResult:
    """One printed number.

    Attributes:
        table: "2a", "2b", "3" or "4".
        row: The model, or the ablation's row.
        column: The data set, the average, or the ablation's task.
    """

    table: str
    row: str
    column: str
    metric: str
    value: float


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper.

    Attributes:
        name: Its number there.
        metrics: The metrics of every column.
        values: (row, column, metric) -> number.
    """

    name: str
    title: str
    protocol: str
    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: Mapping[tuple[str, str, str], float]

    def results(self) -> Iterator[PublishedResult]:
        """Yield every number of the table."""
        for (row, column, metric), value in self.values.items():
            yield PublishedResult(self.name, row, column, metric, value)


@functools.cache
def published_tables() -> dict[str, PublishedTable]:
    """Return the paper's tables 2a, 2b, 3 and 4 by their numbers.

    Raises:
        SamDataError: The packaged file is damaged.
    """
    document = yaml.safe_load(resources.files("lavis_sam.reports").joinpath(_FILE).read_text("utf-8"))
    try:
        metrics = tuple(document["metrics"])
        return {name: _table(name, table, document["protocol"], metrics) for name, table in document["tables"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SamDataError(f"lavis_sam/reports/{_FILE}: damaged: {error}. Install lavis_sam again.") from error


def _table(name: str, table: Mapping[str, Any], protocol: str, metrics: tuple[str, ...]) -> PublishedTable:
    columns = tuple(table["columns"])
    values = {
        (row, column, metric): float(value)
        for row, cells in table["rows"].items()
        for column, cell in zip(columns, cells, strict=True)
        for metric, value in zip(metrics, cell, strict=True)
    }
    return PublishedTable(name, table["title"], protocol, metrics, columns, tuple(table["rows"]), values)
