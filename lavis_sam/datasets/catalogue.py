"""The catalogue of data sets: one entry holds all that the package knows about one, beside the YAMLs that users edit.

From an entry come the builder that LAVIS finds (`plugin.builders`), the reader of `lavis-sam data convert`, the
prompts, the paper's table and the hint how to get the data. The YAMLs are `configs/datasets/<name>/`, and
`projects/sam/eval/<name>.yaml` for sets of the paper's evaluation. Neither LAVIS nor PyTorch is imported here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.formats import (
    aesop,
    birds_to_words,
    clevr_change,
    conceptual,
    dm800k,
    iedit,
    nico,
    spot_the_diff,
    vist,
)
from lavis_sam.datasets.formats.release import Entry
from lavis_sam.errors import SamConfigurationError


@dataclass(frozen=True)
class Source:
    """Where a data set comes from; none is downloaded by this package.

    Attributes:
        place: An address, or whom to ask.
        licence: The terms, as far as its page says.
    """

    place: str
    licence: str


@dataclass(frozen=True)
class DatasetEntry:
    """A data set.

    Attributes:
        name: Its name in configurations and in LAVIS's registry.
        title: Its name in the paper's tables and as a folder of predictions.
        builder: The name of its builder's class.
        about: What is in it, in a line.
        task: Names its prompts (`prompts/<task>.yaml`).
        source: Where it comes from.
        entries: Reads a release; None where the unified format is the release.
        options: What a user may choose in reading, with the defaults.
        benchmark: The benchmark that the paper counts it to; None where it does not evaluate it.
        configs: Type -> file below `configs/datasets/<name>`, or any absolute path.
    """

    name: str
    title: str
    builder: str
    about: str
    task: str
    source: Source
    entries: Callable[..., Iterator[Entry]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    benchmark: str | None = None
    configs: Mapping[str, str] = field(default_factory=lambda: {"default": "defaults.yaml"})


@dataclass(frozen=True)
class Benchmark:
    """Data sets of one task, over which the paper averages.

    Attributes:
        name: The task.
        table: The paper's table.
    """

    name: str
    table: str

    @property
    def sets(self) -> tuple[DatasetEntry, ...]:
        """Its data sets, in the table's order."""
        return tuple(entry for entry in CATALOGUE.values() if entry.benchmark == self.name)


GROUPS, STORIES, CHANGES = "group captioning", "storytelling", "change captioning"
BENCHMARKS = (Benchmark(GROUPS, "2a"), Benchmark(STORIES, "2b"), Benchmark(CHANGES, "4"))
# Name -> entry; the sets of a benchmark are in the order of its table.
CATALOGUE: dict[str, DatasetEntry] = {}


def add_entry(entry: DatasetEntry) -> None:
    """Make a data set known; `plugin.builders.register_dataset` makes it known to LAVIS as well.

    Raises:
        SamConfigurationError: The name is taken, or the benchmark is none of the paper's.
    """
    if entry.name in CATALOGUE:
        raise SamConfigurationError(f"data set {entry.name!r}: the name is taken by {CATALOGUE[entry.name].title}.")
    if entry.benchmark not in (None, GROUPS, STORIES, CHANGES):
        raise SamConfigurationError(
            unknown_name("benchmark", entry.benchmark, [one.name for one in BENCHMARKS], f"data set {entry.name}")
        )
    CATALOGUE[entry.name] = entry


def entry_named(name: str) -> DatasetEntry:
    """Return the entry of a name in configurations.

    Raises:
        SamConfigurationError: No such data set; the message lists them.
    """
    if name not in CATALOGUE:
        raise SamConfigurationError(unknown_name("format", name, CATALOGUE, "format"))
    return CATALOGUE[name]


def evaluation_set(name: str) -> DatasetEntry | None:
    """Return the evaluation set of that name or title, whatever its case and separators; None if the paper has none."""
    wanted = _letters(name)
    for benchmark in BENCHMARKS:
        for entry in benchmark.sets:
            if wanted in (_letters(entry.name), _letters(entry.title)):
                return entry
    return None


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_NICO_SOURCE = Source("NICO, Tsinghua University, on request", "as the answer to the request says")
_NICO_OPTIONS = {"group_size": 5, "target": "concept"}

for _entry in (
    DatasetEntry(
        "mmlink",
        "MmLINK",
        "MMLinkBuilder",
        "MmLINK from a folder (`type: default`), from shards (`type: shards`, `type: webdataset`), or the photographs.",
        task="group_captioning",
        source=Source("`lavis-sam synthesize` makes it", "that of the images it is made from"),
        configs={
            "default": "defaults.yaml",
            "shards": "defaults_shards.yaml",
            "webdataset": "defaults_webdataset.yaml",
            "photographs": "defaults_photographs.yaml",
        },
    ),
    DatasetEntry(
        "own",
        "Own",
        "OwnBuilder",
        "Your own data, from a folder (`type: default`) or from shards; `--data DIR` names it.",
        task="group_captioning",
        source=Source("`lavis-sam data collect` makes it of your images", "yours"),
        configs={
            "default": "defaults.yaml",
            "shards": "defaults_shards.yaml",
            "webdataset": "defaults_webdataset.yaml",
        },
    ),
    DatasetEntry(
        "conceptual",
        "Conceptual",
        "ConceptualBuilder",
        "Groups of five images from Conceptual Captions.",
        task="group_captioning",
        source=Source(
            "the authors of the paper (no public file exists), or groups of five images of your own from Conceptual "
            "Captions",
            "Conceptual Captions' own terms; each image has its owner's",
        ),
        entries=conceptual.entries,
        benchmark=GROUPS,
    ),
    DatasetEntry(
        "nico_animal",
        "Animal",
        "NicoAnimalBuilder",
        "NICO's ten animals, in groups of images of one animal.",
        task="group_captioning",
        source=_NICO_SOURCE,
        entries=nico.animal_entries,
        options=_NICO_OPTIONS,
        benchmark=GROUPS,
    ),
    DatasetEntry(
        "nico_vehicle",
        "Vehicle",
        "NicoVehicleBuilder",
        "NICO's nine vehicles, in groups of images of one vehicle.",
        task="group_captioning",
        source=_NICO_SOURCE,
        entries=nico.vehicle_entries,
        options=_NICO_OPTIONS,
        benchmark=GROUPS,
    ),
    DatasetEntry(
        "aesop",
        "AESOP",
        "AesopBuilder",
        "AESOP: stories of three clip-art panels.",
        task="storytelling",
        source=Source("https://github.com/adobe-research/aesop", "non-commercial research only"),
        entries=aesop.entries,
        benchmark=STORIES,
    ),
    DatasetEntry(
        "vist",
        "VIST",
        "VistBuilder",
        "VIST: stories of five photographs.",
        task="storytelling",
        source=Source(
            "https://visionandlanguage.net/VIST (SIS; photographs from Flickr, some of them gone since)",
            "the annotations' page has it; each photograph has its owner's",
        ),
        entries=vist.entries,
        benchmark=STORIES,
    ),
    DatasetEntry(
        "dm800k",
        "DM800K",
        "DM800KBuilder",
        "DM800K: newspaper articles of one to ten captioned images.",
        task="storytelling",
        source=Source("by e-mail from the authors of DM800K", "as they say"),
        entries=dm800k.entries,
        benchmark=STORIES,
    ),
    DatasetEntry(
        "iedit",
        "IEdit",
        "IEditBuilder",
        "IEdit: an image before and after an edit, and the request for it.",
        task="edit_request",
        source=Source("https://github.com/airsplay/VisualRelationships (Image-Editing-Request)", "see the repository"),
        entries=iedit.entries,
        benchmark=CHANGES,
    ),
    DatasetEntry(
        "spot_the_diff",
        "Spot-the-Diff",
        "SpotTheDiffBuilder",
        "Spot-the-Diff: two frames of one surveillance camera.",
        task="change_captioning",
        source=Source("https://github.com/harsh19/spot-the-diff", "see the repository"),
        entries=spot_the_diff.entries,
        benchmark=CHANGES,
    ),
    DatasetEntry(
        "birds_to_words",
        "Birds-to-Words",
        "BirdsToWordsBuilder",
        "Birds-to-Words: photographs of two species.",
        task="change_captioning",
        source=Source(
            "https://github.com/google-research-datasets/birds-to-words (the table; photographs from the addresses in "
            "it)",
            "see the repository; each photograph has its owner's on iNaturalist",
        ),
        entries=birds_to_words.entries,
        options={"annotators": "all"},
        benchmark=CHANGES,
    ),
    DatasetEntry(
        "clevr_change",
        "CLEVR-Change",
        "ClevrChangeBuilder",
        "CLEVR-Change: a rendered scene, and the same scene changed or seen from elsewhere.",
        task="change_captioning",
        source=Source("https://github.com/Seth-Park/RobustChangeCaptioning", "see the repository"),
        entries=clevr_change.entries,
        benchmark=CHANGES,
    ),
):
    add_entry(_entry)
