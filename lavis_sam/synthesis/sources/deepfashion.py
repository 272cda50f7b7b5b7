"""DeepFashion, in-shop and MultiModal: people in clothes, several views of each (characters).

In-shop files are `img/{MEN,WOMEN}/<Category>/id_<8 digits>/<variant>_<n>_<view>.jpg`; one person in one set of clothes
is an item and its two-digit variant. MultiModal has flat names and manual masks. Both are for non-commercial research.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lavis_sam.config.option_values import whole_number
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import walk_folder
from lavis_sam.synthesis.protocols import Skipped
from lavis_sam.synthesis.sources.files import existing_file, existing_folder, lines_of, read_table
from lavis_sam.synthesis.sources.groups import Group, GroupedSource, ViewFile

LICENCE = "DeepFashion: non-commercial research only"
# A flat image has no person in it, an additional one a detail only.
_USELESS_VIEWS = ("flat", "additional")
_IN_SHOP = re.compile(r"img/(MEN|WOMEN)/([^/]+)/(id_\d{8})/(\d\d)_(\d+)_([a-z]+)\.jpg", re.ASCII)
_MULTIMODAL = re.compile(r"((MEN|WOMEN)-(.+)-(id_\d{8})-(\d\d))_(\d+)_([a-z]+)\.(jpg|png)", re.ASCII)
# Shop shelves (folder names) as what their customers wear.
_SHELVES = {
    "Blouses_Shirts": "a blouse or shirt",
    "Cardigans": "a cardigan",
    "Denim": "denim",
    "Dresses": "a dress",
    "Graphic_Tees": "a graphic tee",
    "Jackets_Coats": "a jacket or coat",
    "Jackets_Vests": "a jacket or vest",
    "Leggings": "leggings",
    "Pants": "pants",
    "Rompers_Jumpsuits": "a romper or jumpsuit",
    "Shirts_Polos": "a shirt",
    "Shorts": "shorts",
    "Skirts": "a skirt",
    "Suiting": "a suit",
    "Sweaters": "a sweater",
    "Sweatshirts_Hoodies": "a sweatshirt or hoodie",
    "Tees_Tanks": "a tee or tank top",
}
_HEIGHTS = {"man": 1.78, "woman": 1.68}
_DEFAULT_HEIGHT = 1.72


def in_shop(root: str, split: str = "train", partition: str = "Eval/list_eval_partition.txt") -> GroupedSource:
    """Return the in-shop retrieval set.

    Args:
        root: Holds `img/` and, usually, `Eval/`.
        split: "train" or "held_out" (ours, by group; not the retrieval set's).
        partition: The list of images; where it does not exist, `img/` itself is listed.

    Raises:
        SamConfigurationError: The list is malformed, or there is nothing to use.
    """
    folder = existing_folder(root, "sources.characters.root")
    views: dict[str, list[ViewFile]] = defaultdict(list)
    facts: dict[str, dict[str, str]] = {}
    skipped: list[Skipped] = []
    for name in _in_shop_names(folder, partition):
        match = _IN_SHOP.fullmatch(name)
        if match is None:
            skipped.append(Skipped(name, "unknown file name"))
            continue
        gender, category, item, variant, _, view = match.groups()
        if view in _USELESS_VIEWS:
            skipped.append(Skipped(name, f"{view} view"))
            continue
        key = f"{item}-{variant}"
        views[key].append(ViewFile(name, view))
        facts[key] = _facts(gender, category)
    groups = [_group(key, files, facts[key], "") for key, files in views.items()]
    return GroupedSource(
        "deepfashion in-shop",
        "characters",
        folder,
        groups,
        licence=LICENCE,
        height=_DEFAULT_HEIGHT,
        split=split,
        skipped=skipped,
    )


def multimodal(
    root: str,
    split: str = "train",
    images: str = "images",
    segmentations: str = "segm",
    captions: str = "captions.json",
) -> GroupedSource:
    """Return the MultiModal set, whose manual masks save the segmentation (`use_source_masks: true`).

    Args:
        split: "train" or "held_out".
        segmentations: Folder of the label images `<stem>_segm.png`; every label above 0 is the person.
        captions: Image name -> text.

    Raises:
        SamConfigurationError: A folder or the captions are missing or malformed.
    """
    folder = existing_folder(root, "sources.characters.root")
    existing_folder(folder / images, "sources.characters.images")
    texts = read_table(existing_file(folder / captions, "MultiModal's captions")) if captions else {}
    if not isinstance(texts, dict):
        raise SamConfigurationError(f"{folder / captions}: found a {type(texts).__name__}, wanted name -> text.")
    views: dict[str, list[ViewFile]] = defaultdict(list)
    facts: dict[str, dict[str, str]] = {}
    text_of: dict[str, str] = {}
    skipped: list[Skipped] = []
    for path in sorted((folder / images).iterdir()):
        match = _MULTIMODAL.fullmatch(path.name)
        if match is None or match[7] in _USELESS_VIEWS:
            skipped.append(Skipped(path.name, f"{match[7]} view" if match else "unknown file name"))
            continue
        key, gender, category = match[1], match[2], match[3]
        mask = f"{segmentations}/{path.stem}_segm.png"
        has_mask = (folder / mask).is_file()
        views[key].append(ViewFile(f"{images}/{path.name}", match[7], mask=mask if has_mask else None))
        facts[key] = _facts(gender, category)
        text = texts.get(path.name)
        if isinstance(text, str) and text.strip():
            text_of.setdefault(key, " ".join(text.split()))
    groups = [_group(key, files, facts[key], text_of.get(key, "")) for key, files in views.items()]
    return GroupedSource(
        "deepfashion multimodal",
        "characters",
        folder,
        groups,
        licence=LICENCE,
        height=_DEFAULT_HEIGHT,
        split=split,
        skipped=skipped,
    )


def _in_shop_names(folder: Path, partition: str) -> Iterator[str]:
    """Yield names of the partition's first column; a count line and a header line come first, columns are padded."""
    path = folder / partition
    if not path.is_file():
        root = existing_folder(folder / "img", "sources.characters.root")
        for file in sorted(Path(below, name) for below, _, names in walk_folder(root) for name in names):
            if file.suffix == ".jpg":
                yield file.relative_to(folder).as_posix()
        return
    rows = lines_of(path)
    count, header = next(rows, ""), next(rows, "")
    if whole_number(count.strip()) is None or header.split()[:1] != ["image_name"]:
        raise SamConfigurationError(
            f"{path}: begins with {count!r} and {header!r}, wanted a count and `image_name item_id evaluation_status`."
        )
    for row in rows:
        if row.strip():
            yield row.split()[0]


def _facts(gender: str, category: str) -> dict[str, str]:
    """Return what the names of folders and files say."""
    wears = _SHELVES.get(category, category.replace("_", " ").lower())
    return {"person": "man" if gender == "MEN" else "woman", "wears": wears}


def _group(key: str, views: list[ViewFile], facts: dict[str, str], caption: str) -> Group:
    ordered = tuple(sorted(views, key=lambda view: view.path))
    label = f"{facts['person']} in {facts['wears']}"
    # Captions have their own words for the person and the clothes.
    required_words = () if caption else tuple(facts.values())
    return Group(key, ordered, facts, required_words, label, caption, _HEIGHTS[facts["person"]], filed_under=True)
