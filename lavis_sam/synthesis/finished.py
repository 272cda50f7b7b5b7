"""A finished data set's records, which may be a stranger's: whatever is wrong with them is one clear error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.dataset_writer import REJECTIONS, SAMPLES
from lavis_sam.synthesis.work_folder import MANIFEST, WorkFolder

# Whoever made the folder may have written anything into its records.
_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)


@contextmanager
def reading_finished(root: Path) -> Iterator[dict[str, Any]]:
    """Give the manifest of the data set in `root`; all that reads its records stands in the `with` block.

    Raises:
        SamDataError: `root` holds no finished data set, or one whose records are damaged.
    """
    folder = WorkFolder(root)
    if not folder.is_finished:
        raise SamDataError(f"{root}: no {MANIFEST}; wanted a finished data set of `lavis-sam synthesize`.")
    try:
        yield folder.manifest()
    except SamDataError:
        raise
    except _DAMAGE as error:
        raise _damaged(f"{root}: {MANIFEST}, {SAMPLES} or {REJECTIONS}", error) from error


@contextmanager
def reading_sample(root: Path, line: int) -> Iterator[None]:
    """Stand around all that reads a line of the samples of the data set in `root`.

    Raises:
        SamDataError: The line is damaged.
    """
    try:
        yield
    except SamDataError:
        raise
    except _DAMAGE as error:
        raise _damaged(f"{root / SAMPLES}:{line}", error) from error


def _damaged(place: str, error: Exception) -> SamDataError:
    return SamDataError(
        f"{place} is not what `lavis-sam synthesize` writes ({type(error).__name__}: {error}). Make the data set again."
    )
