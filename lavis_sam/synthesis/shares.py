"""Shares of a run for machines that know nothing of one another, and the data set that is made of them.

    DIR/part-2-of-3/                what the second of three writers makes: a run's folder with every third part
    DIR/part-2-of-3/complete.json   written last: which run it is of, and its parts

A writer has its folder to itself, so nothing has to be agreed upon: folders may lie on one file system or be copied
together. The merge moves their files to where one run would have left them and goes on as that run would: near
duplicates are found across all shares, and the bytes are the same.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import read_json, to_json, walk_folder, write_json
from lavis_sam.locks import locked
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.dataset_writer import SampleStore
from lavis_sam.synthesis.live_progress import RunProgress
from lavis_sam.synthesis.registry import PipelineBuilder
from lavis_sam.synthesis.run import kinds_of_slots, make_missing, run_identity, synthesize
from lavis_sam.synthesis.runners import PartTask, Runner
from lavis_sam.synthesis.work_folder import WorkFolder
from lavis_sam.synthesis.worker import PartJob

COMPLETE = "complete.json"
# Parts last: a part that is there says that its images are.
_MOVED = ("images", "work/rejected", "work/parts")
# Where moved shares are; the folder `work` goes when the data set is complete.
_MERGED = Path("work", "shares")
_FOLDER = re.compile(r"part-([1-9]\d{0,5})-of-([1-9]\d{0,5})")


@dataclass(frozen=True, order=True)
class Share:
    """The `index`-th of `count` shares, from 1."""

    count: int
    index: int

    @classmethod
    def parse(cls, text: str, place: str) -> "Share":
        """Read "2/3".

        Raises:
            SamConfigurationError: It is no such text, or the index is outside 1 to the count.
        """
        match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text, re.ASCII)
        if match is None or int(match[1]) > int(match[2]):
            raise SamConfigurationError(f"{place}: found {text!r}, wanted I/N with I from 1 to N, such as 2/3.")
        return cls(int(match[2]), int(match[1]))

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.index}/{self.count}"

    def folder(self, root: Path) -> Path:
        """Return where its writer works."""
        return root / f"part-{self.index}-of-{self.count}"

    def of(self, tasks: list[PartTask]) -> list[PartTask]:
        """Return its parts: every `count`-th, so that all shares hold all kinds."""
        return tasks[self.index - 1 :: self.count]


def make_share(
    settings: SynthesisSettings,
    root: Path,
    share: Share,
    *,
    num: int,
    seed: int,
    runner: Runner,
    resume: bool = False,
    active: bool = False,
) -> dict[str, Any]:
    """Make one share of a run of `num` samples, or go on with it.

    Args:
        active: Whether progress is shown.

    Returns:
        What complete.json says.

    Raises:
        SamConfigurationError: A backend cannot work, or the folder holds something else.
        OSError: The disk is full or gone. Finished parts stay, and `resume` continues.
    """
    for entry in (root / "work", root / "manifest.json"):
        if entry.exists():
            raise SamConfigurationError(f"{entry}: is of a whole run, wanted a folder of shares; give another --out.")
    folder, builder = WorkFolder(share.folder(root)), PipelineBuilder(settings)
    identity = run_identity(settings, builder, num, seed)
    with folder.opened(identity, resume=resume):
        store = SampleStore(folder, settings, kinds_of_slots(settings, num, seed))
        tasks = share.of(store.first_tasks())
        with RunProgress(sum(len(task.slots) for task in tasks), active=active) as progress:
            make_missing(store, tasks, runner, PartJob(settings, folder.root.absolute(), seed), progress)
        record = {
            "share": str(share),
            "samples": store.finished_in(tasks),
            "parts": [task.key for task in tasks],
            "run": identity,
        }
        write_json(folder.root / COMPLETE, record)
    return record


def merge_shares(
    settings: SynthesisSettings,
    root: Path,
    *,
    num: int,
    seed: int,
    runner: Runner,
    progress: RunProgress | None = None,
) -> dict[str, Any]:
    """Make one data set of all shares; a merge that was killed continues.

    Returns:
        The manifest.

    Raises:
        SamConfigurationError: A share is missing, unfinished, in use or of another run.
        SamDataError: A share's complete.json is damaged.
        OSError: The disk is full or gone.
    """
    if not root.is_dir():
        raise SamConfigurationError(f"{root}: no such folder, wanted the --out of `lavis-sam synthesize --part-of`.")
    identity = run_identity(settings, PipelineBuilder(settings), num, seed)
    shares = _shares_to_move(root)
    for share in shares:
        _check_complete(share, root, identity)
    with locked(root, "or merge later."):
        for share in shares:
            with locked(share.folder(root), "or merge when the share is complete."):
                _move(share, root)
    return synthesize(settings, root, num=num, seed=seed, runner=runner, resume=True, progress=progress)


def _shares_to_move(root: Path) -> list[Share]:
    """Return the shares that no earlier merge has moved; none when it has moved all.

    Raises:
        SamConfigurationError: These and the moved ones are not all shares of one number.
    """
    waiting, moved = _shares_in(root), _shares_in(root / _MERGED)
    if (root / "manifest.json").is_file():
        if waiting:
            raise SamConfigurationError(f"{root}: found a finished data set and {waiting[0].folder(root).name}.")
        return []
    shares = sorted({*waiting, *moved})
    if len({share.count for share in shares}) != 1:
        found = ", ".join(share.folder(root).name for share in shares) or "none"
        raise SamConfigurationError(f"{root}: found the shares {found}; wanted part-1-of-N to part-N-of-N of one N.")
    count = shares[0].count
    missing = [share for index in range(1, count + 1) if (share := Share(count, index)) not in shares]
    if missing:
        raise SamConfigurationError(
            f"{root}: found no share {', '.join(map(str, missing))}. Make it with `lavis-sam synthesize --part-of "
            f"{missing[0]}`, or copy its folder {missing[0].folder(root).name} here."
        )
    return waiting


def _shares_in(folder: Path) -> list[Share]:
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return sorted(Share(int(match[2]), int(match[1])) for name in names if (match := _FOLDER.fullmatch(name)))


def _check_complete(share: Share, root: Path, identity: dict[str, Any]) -> None:
    path = share.folder(root) / COMPLETE
    remedy = f"Go on with it: `lavis-sam synthesize --part-of {share} --resume`."
    if not path.is_file():
        raise SamConfigurationError(f"{path.parent}: this share is not complete. {remedy}")
    run = read_json(path, remedy=remedy, wanted=dict).get("run")
    if to_json(run) != to_json(identity):
        before = run if isinstance(run, dict) else {}
        names = [name for name, value in identity.items() if to_json(before.get(name)) != to_json(value)]
        raise SamConfigurationError(
            f"{path}: the share is of another run: it differs in {', '.join(names)}. Give --num, --seed, "
            "--config and --kinds as they were given to the share."
        )


def _move(share: Share, root: Path) -> None:
    """Rename a share's files to where one run would have left them, then its folder, which says that it is done."""
    source = share.folder(root)
    for top in _MOVED:
        for path in list(_files_under(source / top)):
            target = root / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    merged = root / _MERGED
    merged.mkdir(parents=True, exist_ok=True)
    os.replace(source, share.folder(merged))


def _files_under(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for place, _, names in walk_folder(folder):
            yield from (Path(place) / name for name in names)
