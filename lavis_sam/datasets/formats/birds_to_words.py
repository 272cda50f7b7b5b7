"""Birds-to-Words: two photographs of birds, and what tells the two species apart.

`birds-to-words-v1.0.tsv` has a header and eleven columns, without any quoting: a quotation mark is a character. The
rows of one pair of image addresses are up to five references, of one annotator each. DEMON took one annotator's text as
its answer: `annotators: one` takes the first row's, and DEMON's own files have theirs. Images are not shipped; whoever
downloaded them named them by the observation, by the photograph, or by the end of the address, sometimes with its
`?query`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.formats.fields import RecordError
from lavis_sam.datasets.formats.image_folder import without_suffix
from lavis_sam.datasets.formats.release import Entry, Release, split_of_name
from lavis_sam.datasets.formats.spot_the_diff import DIFFERENCE_CONTEXT
from lavis_sam.datasets.records import UnreadableFileError, read_bytes
from lavis_sam.errors import SamConfigurationError

FILE = "birds-to-words-v1.0.tsv"
COLUMNS = (
    "img1ObservationURL",
    "img1ImgURL",
    "img1Species",
    "img1Selection",
    "img2ObservationURL",
    "img2ImgURL",
    "img2Species",
    "img2Selection",
    "split",
    "annN",
    "description",
)
# Addresses end in these for every photograph: they name a size, not an image.
_SIZES = {"original", "large", "medium", "small", "square", "thumb"}

ANNOTATORS = ("all", "one")

Row = Mapping[str, str]


def entries(release: Release, annotators: str = "all") -> Iterator[Entry]:
    """Yield the pairs of a release.

    Args:
        annotators: "all" makes every annotator's text a reference, "one" the first annotator's alone.

    Raises:
        SamConfigurationError: Another word.
    """
    if annotators not in ANNOTATORS:
        raise SamConfigurationError(unknown_name("annotators", annotators, ANNOTATORS, "format birds_to_words"))
    pairs: dict[tuple[str, ...], list[tuple[str, Row]]] = {}
    for _, path in release.files(dict.fromkeys((release.split or "train",), FILE)):
        for place, row in _rows(release, path):
            pairs.setdefault((row["split"], row["img1ImgURL"], row["img2ImgURL"]), []).append((place, row))
    used: dict[str, int] = {}
    for rows in pairs.values():
        first_place, first = rows[0]
        name = "-".join(_observation(first, k) for k in (1, 2))
        used[name] = used.get(name, 0) + 1
        # Two photographs of one observation have an address each, and share the name. (All splits are counted, so that
        # a name does not depend on what is read.)
        name += f"-{used[name]}" if used[name] > 1 else ""
        place = f"{first_place} (id {name!r})"
        with release.reporting(place):
            images = release.image_names.find(_names(first, 1), _names(first, 2))
            descriptions = tuple(row["description"] for _, row in rows)
            if annotators == "one":
                descriptions = tuple(filter(None, descriptions))[:1]
            yield Entry(name, images, descriptions, place, DIFFERENCE_CONTEXT, split_of_name(first["split"]))


def _rows(release: Release, path: Path) -> Iterator[tuple[str, Row]]:
    raw = read_bytes(path)
    try:
        lines = raw.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        release.repaired("file that is not UTF-8, read as latin-1")
        lines = raw.decode("latin-1").split("\n")
    header = [cell.strip() for cell in lines[0].split("\t")]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise UnreadableFileError("wrong columns", path, f"the header lacks {', '.join(missing)}")
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        place = f"{path}:{number}"
        if len(cells) == len(header):
            yield place, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
        elif line.strip():
            release.problem("wrong columns", place, f"found {len(cells)} columns, wanted {len(header)}")


def _observation(row: Row, k: int) -> str:
    """Return the last part of the observation's address, or of the image's."""
    for column in (f"img{k}ObservationURL", f"img{k}ImgURL"):
        parts = _path(row[column])
        if parts:
            return parts[-1]
    return "unnamed"


def _names(row: Row, k: int) -> list[str]:
    """Return what the image's file may be called, the surest name first."""
    address = row[f"img{k}ImgURL"]
    parts = _path(address)
    if not parts:
        raise RecordError(("wrong path", f"img{k}ImgURL: found {address!r}, wanted the address of an image"))
    observation = _path(row[f"img{k}ObservationURL"])[-1:]
    names = [f"{name}.jpg" for name in observation]
    if without_suffix(parts[-1]).lower() in _SIZES:
        # …/photos/<photograph>/large.jpg
        names += [f"{parts[-2]}.jpg", "/".join(parts[-2:])] if len(parts) > 1 else []
    else:
        names += [parts[-1]]
    return names


def _path(address: str) -> list[str]:
    try:
        return [part for part in urlsplit(address).path.split("/") if part]
    except ValueError:  # brackets that enclose no IPv6 address
        return []
