"""The ten evaluation sets in miniature, below one folder, where `projects/sam/eval` looks for them."""

import shutil
from pathlib import Path

from helpers.releases import MINIATURES
from lavis_sam.datasets.catalogue import BENCHMARKS

EVALUATION_SETS = tuple(entry.name for benchmark in BENCHMARKS for entry in benchmark.sets)
FOLDERS = {"nico_animal": "nico", "nico_vehicle": "nico"}


def write_benchmarks(root: Path, *names: str) -> Path:
    """Write the named sets (all of them without a name), each with a test split; returns `root`."""
    for name in names or EVALUATION_SETS:
        folder = root / FOLDERS.get(name, name)
        folder.mkdir(parents=True, exist_ok=True)
        MINIATURES[name](folder)
        # Three miniatures have their test split under another name.
        if name == "conceptual":
            (folder / "test.json").rename(folder / "annotations.json")
        elif name == "iedit":
            shutil.copy(folder / "valid.json", folder / "test.json")
        elif name == "birds_to_words":
            table = folder / "birds-to-words-v1.0.tsv"
            table.write_bytes(table.read_bytes().replace(b"\tval\t", b"\ttest\t"))
        elif name == "nico_vehicle":  # beside the animals, as the release has them
            shutil.copytree(folder / "NICO" / "vehicles", folder / "vehicles", dirs_exist_ok=True)
            shutil.rmtree(folder / "NICO")
    return root
