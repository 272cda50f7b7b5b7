"""Result tables: measured scores beside the paper's printed ones, each row saying which of the two it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lavis_sam.datasets.catalogue import BENCHMARKS, Benchmark, evaluation_set
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.run_folder import Results, Run, read_run
from lavis_sam.metrics.cider import CIDER, WHY_ZERO
from lavis_sam.metrics.protocols import METRICS
from lavis_sam.reports.published import PublishedTable, published_tables
from lavis_sam.run_layout import distinct_names

PUBLISHED, MEASURED = "published", "measured"
AVERAGE = "Average"
ABLATION_TABLE = "3"
OTHER_TABLE = "other"
_ABSENT = "–"


@dataclass(frozen=True)
class Row:
    """One model in a table.

    Attributes:
        source: `PUBLISHED` or `MEASURED`.
        name: The model's name in the paper, or the run's: as a person said, or else its job id or folder.
        values: (column, metric) -> score x100; what is not there is not known.
    """

    source: str
    name: str
    values: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class ResultTable:
    """A table of scores that were all made under one protocol.

    Attributes:
        name: The paper's number of it, or "other".
        columns: Data sets, averages or tasks; every metric stands under each.
        rows: Published rows first.
        notes: Where the numbers come from.
        remarks: What a reader may wonder about.
    """

    name: str
    title: str
    protocol: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as plain data; rows have column -> metric -> score, None where there is none."""
        return {
            "table": self.name,
            "title": self.title,
            "protocol": self.protocol,
            "columns": list(self.columns),
            "rows": [
                {
                    "source": row.source,
                    "name": row.name,
                    "values": {
                        column: {metric: row.values.get((column, metric)) for metric in METRICS}
                        for column in self.columns
                    },
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
            "remarks": list(self.remarks),
        }

    def as_markdown(self) -> str:
        """Return a Markdown table with a heading and the notes."""
        heads = ["Source", "Model"]
        heads += [f"{column} {metric.title}" for column in self.columns for metric in METRICS.values()]
        lines = [_cells(heads), _cells(["---", "---"] + ["---:"] * (len(heads) - 2))]
        for row in self.rows:
            scores = [row.values.get((column, metric)) for column in self.columns for metric in METRICS]
            lines.append(
                _cells([row.source, row.name, *(_ABSENT if score is None else f"{score:.2f}" for score in scores)])
            )
        name = f"Table {self.name}: " if self.name != OTHER_TABLE else ""
        head = f"## {name}{self.title} (protocol {self.protocol}, ×100)"
        return "\n".join([head, "", *lines, "", *(f"- {note}" for note in (*self.notes, *self.remarks))]) + "\n"


def _cells(texts: Sequence[str]) -> str:
    escaped = (text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for text in texts)
    return f"| {' | '.join(escaped)} |"


def result_tables(runs: Sequence[Run], wanted: Sequence[str] = ()) -> list[ResultTable]:
    """Return the tables to which the runs contribute.

    Args:
        runs: Measured results; with none at all the tables hold the published numbers alone.
        wanted: Numbers of the paper's tables; () for every table with a data set that a run has. The ablation, whose
            rows are averages of two tasks, comes only if wanted.

    Raises:
        SamConfigurationError: No such table.
        SamDataError: Runs of different protocols, or evaluated on different data of one name.
    """
    published = published_tables()
    unknown = [name for name in wanted if name not in published]
    if unknown:
        raise SamConfigurationError(f"table: found {unknown[0]!r}, wanted one of {', '.join(published)}.")
    measured = _Measured(runs)
    names = wanted or [name for name in published if not runs or measured.concerns(name)]
    tables = [_table(published[name], measured) for name in dict.fromkeys(names)]
    if not wanted and measured.other_titles:
        tables.append(_other_table(measured))
    return tables


def averages(run: Path) -> dict[str, dict[str, float | None]]:
    """Return task -> metric -> mean over its data sets, as in the paper; a task that lacks a data set has none."""
    found: dict[str, dict[str, float | None]] = {}
    for table in result_tables([read_run(run)]):
        for row in table.as_dict()["rows"]:
            task = next((benchmark.name for benchmark in BENCHMARKS if benchmark.table == table.name), None)
            mean = row["values"].get(AVERAGE, {})
            if task and row["source"] == MEASURED and any(value is not None for value in mean.values()):
                found[task] = mean
    return found


class _Measured:
    """Runs that may stand in one table.

    Attributes:
        protocol: The protocol of all of them; None if there are none.
        data: Column title -> results of the first run that has the data set; all others have the same data.
        rows: Name and corpora by column title, averages included, of each run.
        untrained: Names of runs whose layers of SAM were untrained.
        refused: (column title, what was not answered) of results with such samples.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        runs, self._renamed = _on_common_columns(runs)
        found = [results for run in runs for results in run.results]
        self.protocol = _common_protocol(found)
        self.data = _common_data(found)
        names = distinct_names([run.folder for run in runs], [run.name for run in runs])
        self.rows = [
            (name, {results.title: results.corpus for results in run.results})
            for name, run in zip(names, runs, strict=True)
        ]
        self.untrained = {
            name
            for name, run in zip(names, runs, strict=True)
            if any(results.made_by.get("is_trained") is False for results in run.results)
        }
        self.refused = [
            (one.title, f"{name}, {one.title}: {len(one.refused)} of {one.count} samples refused; they score 0.")
            for name, run in zip(names, runs, strict=True)
            for one in run.results
            if one.refused
        ]

    @property
    def other_titles(self) -> list[str]:
        """The data sets that the paper does not have."""
        return sorted(title for title in self.data if evaluation_set(title) is None)

    def concerns(self, table: str) -> bool:
        """Return whether there are results on a data set of the table."""
        return any(entry.title in self.data for benchmark in _benchmarks(table) for entry in benchmark.sets)

    def rows_of(self, table: str) -> list[Row]:
        """Return the rows of one of the paper's tables, of the runs that have something for it."""
        rows = []
        for name, corpora in self.rows:
            columns: dict[str, Mapping[str, float]] = {}
            for benchmark in BENCHMARKS:
                average = _average(benchmark, corpora)
                if benchmark.table == table:
                    columns |= {e.title: corpora[e.title] for e in benchmark.sets if e.title in corpora}
                    columns |= {AVERAGE: average} if average else {}
                elif table == ABLATION_TABLE and average:
                    columns[benchmark.name] = average
            if columns:
                rows.append(Row(MEASURED, name, _flat(columns)))
        return rows

    def data_notes(self, titles: Sequence[str]) -> list[str]:
        """Return what the measured columns were measured on."""
        found = [self.data[title] for title in titles if title in self.data]
        return [f"{results.title}: {results.count} samples, data {results.data[:12]}." for results in found]

    def remarks(self, titles: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
        """Return what a reader of these columns and rows may wonder about."""
        found = [self.data[title] for title in titles if title in self.data]
        single = [results.title for results in found if results.count == 1 and results.corpus.get(CIDER.name) == 0]
        untrained = [row.name for row in rows if row.source == MEASURED and row.name in self.untrained]
        return (
            *([f"{', '.join(single)}: {WHY_ZERO}"] if single else []),
            *(
                f"{other} is called {title} here: the same samples and references."
                for title, other in self._renamed
                if title in titles
            ),
            *(f"{name}: SAM's layers were untrained, so this is its base alone (InstructBLIP)." for name in untrained),
            *(note for title, note in self.refused if title in titles),
        )


def _table(published: PublishedTable, measured: _Measured) -> ResultTable:
    protocol = measured.protocol or published.protocol
    titles = [entry.title for benchmark in _benchmarks(published.name) for entry in benchmark.sets]
    rows: list[Row] = []
    if published.protocol == protocol:
        notes = [f"{PUBLISHED}: printed in the paper (Wu et al., ACM MM 2024), on its authors' weights and data."]
        for name in published.rows:
            keys = [(column, metric) for column in published.columns for metric in published.metrics]
            rows.append(Row(PUBLISHED, name, {key: published.values[name, *key] for key in keys}))
    else:
        notes = [f"The paper's numbers are not shown: they are of protocol {published.protocol}."]
    if measured.rows:
        rows += measured.rows_of(published.name)
        notes.append(f"{MEASURED}: computed from predictions. An average needs every data set of its task.")
        notes += measured.data_notes(titles)
    known = {column for row in rows for column, _ in row.values}
    columns = published.columns if published.name == ABLATION_TABLE else (*titles, AVERAGE)
    columns = tuple(column for column in columns if column in known)
    remarks = measured.remarks(titles, rows)
    return ResultTable(published.name, published.title, protocol, columns, tuple(rows), tuple(notes), remarks)


def _other_table(measured: _Measured) -> ResultTable:
    titles = measured.other_titles
    rows = []
    for name, corpora in measured.rows:
        columns = {title: corpora[title] for title in titles if title in corpora}
        if columns:
            rows.append(Row(MEASURED, name, _flat(columns)))
    return ResultTable(
        OTHER_TABLE,
        "data sets that the paper does not have",
        str(measured.protocol),
        tuple(titles),
        tuple(rows),
        tuple(measured.data_notes(titles)),
        measured.remarks(titles, rows),
    )


def _benchmarks(table: str) -> list[Benchmark]:
    return [benchmark for benchmark in BENCHMARKS if benchmark.table == table]


def _average(benchmark: Benchmark, corpora: Mapping[str, Mapping[str, float]]) -> dict[str, float] | None:
    """Return the mean over the benchmark's data sets, as in the paper; None unless all of them are there."""
    if not all(entry.title in corpora for entry in benchmark.sets):
        return None
    found = [corpora[entry.title] for entry in benchmark.sets]
    # A run of before a metric came has no average of it.
    return {
        metric: sum(one[metric] for one in found) / len(found)
        for metric in found[0]
        if all(metric in one for one in found)
    }


def _flat(columns: Mapping[str, Mapping[str, float]]) -> dict[tuple[str, str], float]:
    return {(column, metric): score for column, corpus in columns.items() for metric, score in corpus.items()}


def _common_protocol(found: Sequence[Results]) -> str | None:
    for results in found:
        if results.tokenizer != found[0].tokenizer:
            raise SamDataError(
                f"{found[0].folder} was scored with tokenizer {found[0].tokenizer} and {results.folder} with "
                f"{results.tokenizer}. Score both with one tokenizer, or make a table of each."
            )
        if results.protocol != found[0].protocol:
            raise SamDataError(
                f"{found[0].folder} was scored under protocol {found[0].protocol} and {results.folder} under "
                f"{results.protocol}; their scores mean different things. Score both under one protocol "
                "(`lavis-sam score … --protocol … --out …`), or make a table of each."
            )
    return found[0].protocol if found else None


def _common_data(found: Sequence[Results]) -> dict[str, Results]:
    first: dict[str, Results] = {}
    for results in found:
        other = first.setdefault(results.title, results)
        if other.data != results.data:
            raise SamDataError(
                f"{results.title}: {other.folder} ({other.count} samples, data {other.data[:12]}) and {results.folder} "
                f"({results.count} samples, data {results.data[:12]}) were evaluated on different samples or "
                "references. Evaluate both on the same data, or make a table of each."
            )
    return first


def _on_common_columns(runs: Sequence[Run]) -> tuple[list[Run], list[tuple[str, str]]]:
    """Give results on the same samples and references one name, so that they stand in one column.

    It is the paper's, or else that of the first run. No run gets two results of one name.

    Returns:
        The runs, and (name here, name before) of each that was renamed.
    """
    found = [results for run in runs for results in run.results]
    names: dict[str, str] = {}
    renamed: list[tuple[str, str]] = []
    for results in sorted(found, key=lambda one: evaluation_set(one.dataset) is None):  # the paper's first
        names.setdefault(results.data, results.title)
    changed = []
    for run in runs:
        titles = {results.title for results in run.results}
        parts = []
        for results in run.results:
            name = names[results.data]
            if evaluation_set(results.dataset) is None and name not in titles:
                titles.add(name)
                renamed.append((name, results.title))
                parts.append(replace(results, dataset=name))
            else:
                parts.append(results)
        changed.append(replace(run, results=tuple(parts)))
    return changed, list(dict.fromkeys(renamed))
