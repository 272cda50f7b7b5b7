"""Data folders: which data sets' files stand where their packaged configurations say."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lavis_sam.config.names import unknown_name
from lavis_sam.doctor.findings import Finding, Verdict
from lavis_sam.errors import SamConfigurationError
from lavis_sam.weights.packaged import PACKAGE, locate

AREA = "data"


def check_data(required: Collection[str] = ()) -> Iterator[Finding]:
    """Check whether the data sets' files are there; one that is not matters only to who wants it.

    Args:
        required: Names of the data sets that have to be there.

    Raises:
        SamConfigurationError: A required name is no data set.
    """
    configs = sorted((PACKAGE / "configs" / "datasets").glob("*/defaults*.yaml"))
    known = {path.parent.name for path in configs}
    for name in required:
        if name not in known:
            raise SamConfigurationError(unknown_name("data set", name, known, "--dataset"))
    for path in configs:
        name, kind = path.parent.name, path.stem.removeprefix("defaults").lstrip("_")
        storages = list(_storages(OmegaConf.load(path).datasets[name]))
        absent = [storage for storage in storages if not Path(locate(storage)).exists()]
        # Other types of a data set (photographs, shards) are other copies of it.
        wanted = name in required and not kind
        yield _finding(f"{name} ({kind})" if kind else name, storages, absent, wanted)


def _storages(node: Any) -> Iterator[str]:
    """Yield every `storage` of a data set's configuration; a list of them names one each."""
    if not isinstance(node, DictConfig):
        return
    for key, value in node.items():
        if key == "storage":
            yield from [str(value)] if isinstance(value, str) else map(str, value)
        else:
            yield from _storages(value)


def _finding(name: str, storages: list[str], absent: list[str], wanted: bool) -> Finding:
    if not absent:
        return Finding(AREA, name, Verdict.OK, f"in {storages[0]}")
    section = f"datasets.{name.split()[0]}.build_info"
    remedy = (
        f"`lavis-sam data` makes it from the authors' release; or name its files as {section}.images.storage and "
        f"{section}.annotations.<split>.storage in the run's configuration."
    )
    if len(absent) == len(storages):
        found = f"not here ({absent[0]} does not exist in {Path.cwd()})"
        return Finding(AREA, name, Verdict.FAILURE if wanted else Verdict.NOTE, found, remedy if wanted else "")
    found = f"incomplete: {', '.join(absent)} {'does' if len(absent) == 1 else 'do'} not exist in {Path.cwd()}"
    return Finding(AREA, name, Verdict.FAILURE if wanted else Verdict.WARNING, found, remedy)
