"""The paper's benchmarks: which data sets there are, what they are called, and which of them are averaged."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationSet:
    """A data set of the paper's evaluation.

    Attributes:
        name: Its name in configurations and in LAVIS's registry.
        title: Its name in the paper's tables and as a folder of predictions.
    """

    name: str
    title: str


@dataclass(frozen=True)
class Benchmark:
    """Data sets of one task, over which the paper averages.

    Attributes:
        name: The task.
        table: The paper's table.
        sets: Its data sets, in the table's order.
    """

    name: str
    table: str
    sets: tuple[EvaluationSet, ...]


BENCHMARKS = (
    Benchmark(
        "group captioning",
        "2a",
        (
            EvaluationSet("conceptual", "Conceptual"),
            EvaluationSet("nico_animal", "Animal"),
            EvaluationSet("nico_vehicle", "Vehicle"),
        ),
    ),
    Benchmark(
        "storytelling",
        "2b",
        (EvaluationSet("aesop", "AESOP"), EvaluationSet("vist", "VIST"), EvaluationSet("dm800k", "DM800K")),
    ),
    Benchmark(
        "change captioning",
        "4",
        (
            EvaluationSet("iedit", "IEdit"),
            EvaluationSet("spot_the_diff", "Spot-the-Diff"),
            EvaluationSet("birds_to_words", "Birds-to-Words"),
            EvaluationSet("clevr_change", "CLEVR-Change"),
        ),
    ),
)


def evaluation_set(name: str) -> EvaluationSet | None:
    """The data set of that name or title, whatever its case and separators; None if the paper has none."""
    wanted = _plain(name)
    for benchmark in BENCHMARKS:
        for entry in benchmark.sets:
            if wanted in (_plain(entry.name), _plain(entry.title)):
                return entry
    return None


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
