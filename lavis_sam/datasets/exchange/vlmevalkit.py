"""A data set of VLMEvalKit: `NAME.tsv` for the folder that LMUData names, with the images in it.

`image` is the text of a list of images in base64. VLMEvalKit decodes each and keeps it as PNG under the name of its
row, so every pixel stays: a JPEG or PNG that needs no conversion is taken as it is, anything else as a PNG of what a
person sees. `index` names the row's content as well as its place: VLMEvalKit keeps images and answers by it, and would
take those of an earlier export otherwise.
"""

import base64
import csv
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import UnusableFileError, atomic_path, load_bytes
from lavis_sam.progress import tracked

# Only our exports have a column of this name; `lavis_sam.evaluators.vlmeval_dataset` knows them by it.
SAMPLE_COLUMN = "lavis_sam_sample"
COLUMNS = ("index", "image", "question", "answer", SAMPLE_COLUMN)
_ORIENTATION = 0x0112


def write_vlmevalkit(samples: Sequence[MultiImageSample], images: Path, out: Path, name: str) -> list[Path]:
    """Write a data set.

    Args:
        images: The root of their paths.
        out: The folder that the environment variable LMUData will name; it is made.
        name: The data set's.

    Returns:
        The file.

    Raises:
        SamDataError: An image is missing or damaged.
        SamConfigurationError: The name is no file's.
    """
    if name in ("", "..") or Path(name).name != name:
        raise SamConfigurationError(f"--name: found {name!r}, wanted a name without / for a file.")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.tsv"
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        writer.writerow(COLUMNS)
        for place, sample in enumerate(tracked(samples, "Writing", len(samples))):
            row = _row(sample, images)
            digest = hashlib.sha256("\0".join(row).encode()).hexdigest()
            writer.writerow((f"{place}_{digest[:12]}", *row))
    return [path]


def _row(sample: MultiImageSample, images: Path) -> tuple[str, ...]:
    """Return what stands under `COLUMNS`, without the index."""
    record = {"sample_id": str(sample.id), "gt_response": sample.output, "references": list(sample.references)}
    encoded = [_encoded(images / image) for image in sample.images]
    return str(encoded), sample.instruction, sample.output, json.dumps(record)


def _encoded(path: Path) -> str:
    from lavis_sam.datasets.images import to_rgb  # with Pillow, which reading texts does not need

    try:
        data = load_bytes(path)
    except UnusableFileError as error:
        raise SamDataError(f"{path}: {error}") from error
    seen = to_rgb(data, str(path))
    if not _is_plain(data):
        buffer = io.BytesIO()
        seen.save(buffer, format="PNG")
        data = buffer.getvalue()
    return base64.b64encode(data).decode("ascii")


def _is_plain(data: bytes) -> bool:
    """Return whether VLMEvalKit, which only decodes and saves, sees in a file what a person does."""
    from lavis_sam.datasets.images import open_image

    with open_image(io.BytesIO(data)) as image:
        plain = image.format in ("JPEG", "PNG") and image.mode == "RGB" and "transparency" not in image.info
        return plain and _ORIENTATION not in image.getexif()
