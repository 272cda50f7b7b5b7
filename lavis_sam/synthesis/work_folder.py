"""The folder of a run while it runs: what it is, which parts are finished, and the images.

    DIR/work/run.json         what is being made; a resumed run has to be the same
    DIR/work/parts/R-N.jsonl  the outcomes of part N of round R, written last: it exists only when its images do
    DIR/work/rejected/        images of rejected tries
    DIR/images/               the images, where they stay

When the data set is complete, the folder `work` is removed and `manifest.json` says that all is there.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import read_json, to_json, write_json, write_text
from lavis_sam.locks import LOCK_FILE, locked

MANIFEST = "manifest.json"
_FOLDERS = 1000


@dataclass(frozen=True)
class Outcome:
    """What became of one place of the data set in one round.

    Attributes:
        sample: Its line for samples.jsonl, or None when all tries were rejected.
    """

    slot: int
    kind: str
    sample: dict[str, Any] | None
    rejections: tuple[dict[str, Any], ...]
    next_attempt: int


class WorkFolder:
    """Everything that is read and written under DIR while a run is going on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work = root / "work"

    @property
    def is_finished(self) -> bool:
        """Whether a complete data set is there."""
        return (self.root / MANIFEST).is_file()

    def manifest(self) -> dict[str, Any]:
        """Return the finished data set's manifest.

        Raises:
            SamDataError: It is missing or damaged.
        """
        return _read_object(self.root / MANIFEST)

    @contextmanager
    def opened(self, identity: Mapping[str, Any], *, resume: bool) -> Iterator[None]:
        """Claim the folder for a run.

        Raises:
            SamConfigurationError: The folder is in use, holds something else, or another run with other settings.
        """
        with locked(self.root, "or give another --out."):
            self._check(identity, resume=resume)
            self.work.mkdir(exist_ok=True)
            if not (self.work / "run.json").is_file():
                write_json(self.work / "run.json", identity)
            self._sweep()
            yield

    def _check(self, identity: Mapping[str, Any], *, resume: bool) -> None:
        found = sorted(path.name for path in self.root.iterdir() if path.name != LOCK_FILE)
        if not found:
            return
        if not (self.work.is_dir() or self.is_finished):
            raise SamConfigurationError(f"{self.root}: found {found[0]!r} and more, wanted a new or an empty folder.")
        if not resume:
            state = "a finished data set" if self.is_finished else "an unfinished run"
            raise SamConfigurationError(f"{self.root}: holds {state}. Add --resume, or give another --out.")
        path = self.work / "run.json"
        before = _read_object(self.root / MANIFEST)["run"] if self.is_finished else None
        before = _read_object(path) if before is None and path.is_file() else before
        different = list(_differences(before, json.loads(to_json(identity)))) if before is not None else []
        if different:
            raise SamConfigurationError(
                f"{self.root}: cannot resume, it was begun with other settings:\n  " + "\n  ".join(different)
            )

    def _sweep(self) -> None:
        """Remove what a killed process left half-written; nobody else writes here while the lock is held."""
        for path in [*self.root.glob(".*.tmp"), *self.root.glob("[!.]*/**/.*.tmp")]:
            path.unlink(missing_ok=True)

    def image_file(self, slot: int, index: int, suffix: str) -> str:
        """Return the path of a sample's image, relative to the data set."""
        return f"images/{slot // _FOLDERS:03d}/{slot:06d}_{index + 1}.{suffix}"

    def rejected_file(self, reason: str, slot: int, attempt: int) -> str:
        """Return the path of a rejected try's image, relative to the data set while the run is going on."""
        return f"work/rejected/{reason}/{slot:06d}_{attempt:03d}.jpg"

    def part_path(self, key: str) -> Path:
        """Return the file that holds a part's outcomes."""
        return self.work / "parts" / f"{key}.jsonl"

    def write_part(self, key: str, outcomes: list[Outcome]) -> None:
        """Declare a part finished."""
        lines = [
            to_json({**outcome.__dict__, "rejections": list(outcome.rejections)}, indent=None) for outcome in outcomes
        ]
        write_text(self.part_path(key), "".join(line + "\n" for line in lines))

    def has_part(self, key: str, slots: tuple[int, ...]) -> bool:
        """Return whether a part is finished and whole, with all its images; otherwise it is to be made again.

        Then its file is removed, and those of later rounds: they replaced images that it is about to write.
        """
        if self.part_path(key).is_file():
            # A record may hold anything.
            with suppress(SamDataError, KeyError, TypeError, ValueError):
                outcomes = self.read_part(key)
                files = [
                    image["file"] for one in outcomes if one.sample is not None for image in one.sample["pictures"]
                ]
                files += [rejected["picture"] for one in outcomes for rejected in one.rejections if rejected["picture"]]
                if tuple(outcome.slot for outcome in outcomes) == slots and all(map(self._has_image, files)):
                    return True
        for path in self.part_path(key).parent.glob("[0-9]*-*.jsonl"):
            if path.stem == key or int(path.stem.partition("-")[0]) > int(key.partition("-")[0]):
                path.unlink()
        return False

    def _has_image(self, file: str) -> bool:
        path = self.root / file
        return path.is_file() and path.stat().st_size > 0

    def read_part(self, key: str) -> list[Outcome]:
        """Return a finished part's outcomes.

        Raises:
            SamDataError: The file is damaged.
        """
        path = self.part_path(key)
        try:
            records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            return [Outcome(**{**record, "rejections": tuple(record["rejections"])}) for record in records]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise SamDataError(f"{path}: damaged ({error}); remove it and run again with --resume.") from error

    def remove_work(self) -> None:
        """Do the last step: the data set is complete."""
        shutil.rmtree(self.work)


def _read_object(path: Path) -> dict[str, Any]:
    return read_json(path, remedy="Wanted what `lavis-sam synthesize` wrote.", wanted=dict)


def _differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{place}.{key}" if place else key)
    elif before != now:
        yield f"{place}: {before!r} before, {now!r} now"
