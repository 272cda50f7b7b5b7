"""What a baseline is asked: the paper's data sets as `lavis-sam benchmark` reads them, or one in the unified format."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.datasets.catalogue import evaluation_set
from lavis_sam.datasets.folder import open_folder
from lavis_sam.datasets.formats.reading import UNIFIED_FILES
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.errors import SamConfigurationError, SamDataError

SPLIT = "test"


@dataclass(frozen=True)
class AskedSet:
    """A data set that a model is to be asked about.

    Attributes:
        name: Its name, in the manifest.
        title: The name of its folder in a run.
        prompts: Its prompt set; None where the annotation's own instructions are asked.
        open: Reads its samples.
    """

    name: str
    title: str
    prompts: Any
    open: Callable[[], MultiImageDataset]


def asked_sets(data: Path | None, names: Sequence[str], *, configs: Path) -> list[AskedSet]:
    """The data sets to ask about.

    Args:
        data: The folder of all data sets (None: `LAVIS_SAM_DATA`, else ./data), or one data set in the unified format.
        names: Data sets, tasks or tables of the paper, none for all that are there; or the name of the one data set.
        configs: The evaluation configurations of the paper's data sets.

    Raises:
        SamConfigurationError: An unknown name, or not one name for one data set.
        SamDataError: A data set that was named is not there, or none is.
    """
    if data is not None and (data.is_file() or any((data / file).is_file() for file in UNIFIED_FILES)):
        if len(names) != 1 or Path(names[0]).name != names[0]:
            raise SamConfigurationError(
                f"{data} is one data set; found --dataset {', '.join(names) or 'nowhere'}, wanted one name for it."
            )
        known = evaluation_set(names[0])
        return [AskedSet(names[0], known.title if known else names[0], None, lambda: open_folder(data))]
    return _of_the_paper(data, names, configs)


def _of_the_paper(data: Path | None, names: Sequence[str], configs: Path) -> list[AskedSet]:
    from lavis_sam.evaluation import benchmark  # imports LAVIS, which the other way does not need

    if data is not None:
        os.environ[benchmark.DATA_VARIABLE] = str(data)
    found = benchmark.find_sets(names, configs=configs)
    present = [one for one in found if not one.missing]
    absent = [f"  {one.entry.title} is {one.how_to_get}" for one in found if one.missing]
    if not present or (names and absent):
        raise SamDataError("\n".join(["wanted data sets that are not there:", *absent, "--data names their folder."]))
    return [AskedSet(one.entry.name, one.entry.title, one.prompt_set, one.dataset) for one in present]
