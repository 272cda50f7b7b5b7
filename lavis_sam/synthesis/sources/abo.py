"""Amazon Berkeley Objects: furniture on white, photographed all around (furniture).

`spins/metadata/spins.csv.gz` says which image shows which object from which side; `listings/metadata/` what the
object is. Two views of a spin that are far apart in azimuth are the cleanest "same object, other view" there is.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.protocols import Skipped
from lavis_sam.synthesis.sources.files import existing_file, existing_folder, lines_of, rows_of
from lavis_sam.synthesis.sources.groups import Group, GroupedSource, ViewFile

LICENCE = "Amazon Berkeley Objects: CC BY 4.0"
_COLUMNS = ("spin_id", "azimuth", "image_id", "path")
_DEFAULT_HEIGHT = 0.9
# Product types of the listings that are furniture, with the word that people use and a usual height in metres.
FURNITURE: dict[str, tuple[str, float]] = {
    "SOFA": ("sofa", 0.85),
    "CHAIR": ("chair", 0.9),
    "TABLE": ("table", 0.75),
    "STOOL_SEATING": ("stool", 0.65),
    "BED": ("bed", 1.0),
    "BED_FRAME": ("bed frame", 1.0),
    "DESK": ("desk", 0.75),
    "LAMP": ("lamp", 0.6),
    "FLOOR_LAMP": ("floor lamp", 1.55),
    "CABINET": ("cabinet", 1.2),
    "DRESSER": ("dresser", 1.0),
    "BENCH": ("bench", 0.5),
    "OTTOMAN": ("ottoman", 0.45),
    "SHELF": ("shelf", 1.5),
    "BOOKCASE": ("bookcase", 1.7),
    "HEADBOARD": ("headboard", 1.1),
    "HOME_FURNITURE_AND_DECOR": ("piece of furniture", 0.9),
    "FURNITURE": ("piece of furniture", 0.9),
    "OUTDOOR_LIVING": ("piece of outdoor furniture", 0.9),
}


def abo_spins(root: str, split: str = "train", language: str = "en") -> GroupedSource:
    """Return objects of the listings that have a spin and are furniture.

    Args:
        root: Holds `listings/` and `spins/` (`spins/original/<path>`, or the folder that `spins_folder` finds).
        split: "train" or "held_out".
        language: Texts in this language are preferred (`en` finds `en_US` and `en_GB`).

    Raises:
        SamConfigurationError: The metadata are missing or malformed.
    """
    folder = existing_folder(root, "sources.furniture.root")
    images = _image_folder(folder)
    spins = _spins(existing_file(folder / "spins" / "metadata" / "spins.csv.gz", "the list of spin images"), images)
    groups: dict[str, Group] = {}
    skipped: list[Skipped] = []
    listings = sorted((folder / "listings" / "metadata").glob("listings_*.json.gz"))
    if not listings:
        raise SamConfigurationError(
            f"{folder}/listings/metadata: no listings_*.json.gz; they say what the objects are."
        )
    for path in listings:
        for listing in _listings(path):
            spin, product = listing.get("spin_id"), _product_type(listing)
            if not isinstance(spin, str) or spin not in spins:
                continue
            if product not in FURNITURE:
                skipped.append(Skipped(spin, "no furniture"))
            elif spin not in groups:  # several shops list the same object
                groups[spin] = _group(spin, spins[spin], product, listing, language)
    return GroupedSource(
        "amazon berkeley objects",
        "furniture",
        folder,
        groups.values(),
        licence=LICENCE,
        height=_DEFAULT_HEIGHT,
        split=split,
        skipped=skipped,
    )


def _image_folder(folder: Path) -> str:
    for name in ("spins/original", "spins/small", "spins"):
        if (folder / name).is_dir():
            return name
    raise SamConfigurationError(f"{folder}: no spins/original; it holds the images.")


def _spins(path: Path, images: str) -> dict[str, list[ViewFile]]:
    rows = rows_of(path)
    _, header = next(rows, (1, []))
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise SamConfigurationError(f"{path}: no column {', '.join(missing)}; found {header}.")
    spins: dict[str, list[ViewFile]] = defaultdict(list)
    for number, row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise SamConfigurationError(
                f"{path}:{number}: found {len(row)} columns, wanted {len(header)}. Get the file again, or mend the row."
            )
        spin, azimuth, _, file = (row[header.index(column)] for column in _COLUMNS)
        try:
            angle = float(azimuth)
        except ValueError:
            angle = math.nan
        if not math.isfinite(angle):
            raise SamConfigurationError(f"{path}:{number}: spin {spin}: azimuth {azimuth!r} is no number.")
        # `azimuth` is the number of the image; the turn is divided evenly among the 24 or 72 of a spin.
        spins[spin].append(ViewFile(f"{images}/{file}", f"view {azimuth}", angle))
    return {spin: _in_degrees(views) for spin, views in spins.items()}


def _in_degrees(views: list[ViewFile]) -> list[ViewFile]:
    """Return views with azimuths in degrees: 0 to 71 (or 23) are steps of the turntable, larger ones are degrees."""
    steps = max((view.azimuth or 0.0 for view in views), default=0.0)
    total = 24 if steps < 24 and len(views) <= 24 else 72
    if steps >= 72:
        return views
    return [
        ViewFile(view.path, f"azimuth {(view.azimuth or 0.0) * 360 / total:g}", (view.azimuth or 0.0) * 360 / total)
        for view in views
    ]


def _listings(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines_of(path), start=1):
        if line.strip():
            try:
                listing = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SamConfigurationError(f"{path}:{number}: no JSON ({error}).") from error
            if isinstance(listing, dict):
                yield listing


def _product_type(listing: dict[str, Any]) -> str:
    """Return the product type, which is a text or [{"value": text}]; "" where there is none."""
    found = listing.get("product_type")
    if isinstance(found, list) and found and isinstance(found[0], dict):
        found = found[0].get("value")
    return found if isinstance(found, str) else ""


def _group(spin: str, views: list[ViewFile], product: str, listing: dict[str, Any], language: str) -> Group:
    word, height = FURNITURE[product]
    attributes = {"furniture": word}
    for key, name in (("color", "colour"), ("material", "material"), ("style", "style")):
        text = _text(listing.get(key), language)
        # Shops write essays into these fields; an attribute is a word or two.
        if text and len(text.split()) <= 3:
            attributes[name] = text.lower()
    required_words = tuple(attributes[name] for name in ("colour", "material", "furniture") if name in attributes)
    # A shop's item name is an advertisement, not a caption; it goes into the manifest as an attribute.
    named = {**attributes, "item name": _text(listing.get("item_name"), language)}
    return Group(spin, tuple(views), named, required_words, " ".join(required_words), height=height, filed_under=True)


def _text(values: Any, language: str) -> str:
    """Return the first text in the wanted language of a list of {"language_tag", "value"}; "" when there is none."""
    for entry in values if isinstance(values, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("value"), str):
            tag = entry.get("language_tag")
            if tag is None or str(tag).split("_")[0] == language:
                return " ".join(entry["value"].split())
    return ""
