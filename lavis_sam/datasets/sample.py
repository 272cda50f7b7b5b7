"""The one form of a sample, which every format is read into. It stands alone so that any room may import it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MultiImageSample:
    """N images, an instruction, and the text that answers it.

    Attributes:
        id: The sample's name, unique in its data set (1 and "1" are the same name).
        images: N >= 1 image paths relative to the data set's root, in order.
        instruction: The prompt; both tokenizers get it unchanged.
        output: The answer; several references are joined here by the data set's own convention.
        references: The answers one by one; equal to (output,) when the annotation gives none.
        source: Where the sample came from: file and record.
    """

    id: int | str
    images: tuple[str, ...]
    instruction: str
    output: str
    references: tuple[str, ...]
    source: str


def to_record(sample: MultiImageSample) -> dict[str, Any]:
    """Return the sample as a record of the unified format."""
    return {
        "id": sample.id,
        "img_list": list(sample.images),
        "instruction": sample.instruction,
        "output": sample.output,
        "references": list(sample.references),
    }
