"""What is in a data set: counts, numbers of images, lengths of texts, and what batches of it waste on padding."""

import random
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lavis_sam.config.run_settings import BATCHINGS
from lavis_sam.datasets.buckets import bucketed_batches, sample_sizes
from lavis_sam.errors import SamConfigurationError

if TYPE_CHECKING:
    from lavis_sam.datasets.stored import StoredSamples

# Of the histogram of lengths; whole numbers of words a bar.
_MOST_BARS = 40


@dataclass(frozen=True)
class Spread:
    """How a number is spread over the samples."""

    smallest: int
    median: float
    mean: float
    largest: int

    @classmethod
    def of(cls, values: Sequence[int]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(min(values), statistics.median(values), statistics.fmean(values), max(values))


@dataclass(frozen=True)
class Padding:
    """What batches fill up, as parts of all that they hold, from 0 to 1.

    Attributes:
        images: Of the batch's image slots, those that hold none.
        characters: Of the batch's text, counted as if every text had the length of the batch's longest.
    """

    images: float
    characters: float


@dataclass(frozen=True)
class DatasetStatistics:
    """The figures of a data set.

    Attributes:
        samples: Their number.
        images: Images over all samples.
        distinct_images: Different image paths.
        images_per_sample: N -> samples with N images, by N.
        references: References of a sample.
        instruction_words: Words of an instruction.
        output_words: Words of an answer.
        batch_size: Samples in a batch, for `padding`.
        padding: Batching -> padding of an epoch's batches.
    """

    samples: int
    images: int
    distinct_images: int
    images_per_sample: dict[int, int]
    references: Spread
    instruction_words: Spread
    output_words: Spread
    batch_size: int
    padding: dict[str, Padding]

    @property
    def saved(self) -> Padding:
        """What bucketing saves: the part of the shuffled batches' padding that bucketed ones do without."""
        shuffled, bucketed = self.padding["shuffled"], self.padding["bucketed"]
        return Padding(_saved(shuffled.images, bucketed.images), _saved(shuffled.characters, bucketed.characters))

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, with what bucketing saves."""
        figures = asdict(self) | {"saved": asdict(self.saved)}
        figures["padding"] = {name: _renamed(padding) for name, padding in figures["padding"].items()}
        return _renamed(figures | {"saved": _renamed(figures["saved"])})


def _renamed(figures: dict[str, Any]) -> dict[str, Any]:
    """Put the figures under the keys that `lavis-sam data stats --json` has always had."""
    return {key.replace("images", "pictures"): value for key, value in figures.items()}


def dataset_statistics(dataset: "StoredSamples", *, batch_size: int = 20, seed: int = 42) -> DatasetStatistics:
    """Count what is in a data set; no image is opened.

    Args:
        dataset: With at least one sample.
        batch_size: Samples in a batch over all processes, for the padding.
        seed: Seed of the shuffle, for the padding.

    Raises:
        SamConfigurationError: `batch_size` below 1.
    """
    if batch_size < 1:
        raise SamConfigurationError(f"--batch-size: found {batch_size}, wanted at least 1.")
    samples = dataset.annotation
    counts = [len(sample.images) for sample in samples]
    return DatasetStatistics(
        samples=len(samples),
        images=sum(counts),
        distinct_images=len({image for sample in samples for image in sample.images}),
        images_per_sample=dict(sorted(Counter(counts).items())),
        references=Spread.of([len(sample.references) for sample in samples]),
        instruction_words=Spread.of([len(sample.instruction.split()) for sample in samples]),
        output_words=Spread.of([len(sample.output.split()) for sample in samples]),
        batch_size=batch_size,
        padding={batching: _padding(dataset, batch_size, seed, batching) for batching in BATCHINGS},
    )


def _padding(dataset: "StoredSamples", batch_size: int, seed: int, batching: str) -> Padding:
    """Return the padding of an epoch in a random order: a run's own would say the same, and take PyTorch to draw."""
    sizes = sample_sizes(dataset)
    order = random.Random(seed).sample(range(len(sizes)), len(sizes))
    if batching == "bucketed":
        batches = [batch for window in bucketed_batches(order, sizes, batch_size) for batch in window]
    else:
        batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    return Padding(
        images=_wasted([sizes[index][0] for index in batch] for batch in batches),
        characters=_wasted([sizes[index][1] for index in batch] for batch in batches),
    )


def _wasted(batches: Iterable[Sequence[int]]) -> float:
    held = used = 0
    for batch in batches:
        held += max(batch) * len(batch)
        used += sum(batch)
    return 1 - used / held if held else 0.0


def _saved(before: float, after: float) -> float:
    return 1 - after / before if before > 0 else 0.0


def draw_statistics(dataset: "StoredSamples", figures: DatasetStatistics) -> Any:
    """Draw numbers of images, lengths of texts and padding as a matplotlib figure.

    Raises:
        SamConfigurationError: matplotlib is not installed.
    """
    from lavis_sam.plotting import figure

    drawn = figure(12, 3.6)
    from matplotlib.ticker import MaxNLocator, PercentFormatter  # after the message that says what to install

    drawn.suptitle(f"{figures.samples} samples, {figures.images} images", fontsize="medium")
    counts, lengths, padding = drawn.subplots(1, 3)
    counts.bar(list(figures.images_per_sample), list(figures.images_per_sample.values()), color="tab:blue")
    counts.set(xlabel="images in a sample", ylabel="samples")
    words = {
        "instruction": [len(sample.instruction.split()) for sample in dataset.annotation],
        "answer": [len(sample.output.split()) for sample in dataset.annotation],
    }
    most = max(map(max, words.values()))
    step = -(-(most + 1) // _MOST_BARS)
    edges = [place - 0.5 for place in range(0, most + step + 1, step)]
    lengths.hist(list(words.values()), bins=edges, label=list(words))
    lengths.set(xlabel="words in a text", ylabel="samples")
    lengths.legend()
    for side, (batching, part) in zip((-0.2, 0.2), figures.padding.items(), strict=True):
        bars = padding.bar([side, 1 + side], [part.images, part.characters], width=0.36, label=batching)
        padding.bar_label(bars, fmt="{:.0%}", padding=2)
    padding.set(ylabel=f"padding in batches of {figures.batch_size}")
    padding.margins(y=0.25)
    padding.set_xticks([0, 1], ["images", "text"])
    padding.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    padding.legend()
    for axis in (counts.xaxis, counts.yaxis, lengths.xaxis, lengths.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    return drawn
