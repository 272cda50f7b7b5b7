"""What a check finds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from lavis_sam.errors import SamError


class Verdict(StrEnum):
    """How bad it is: only a failure makes the environment unfit."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILURE = "FAILURE"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        area: `environment`, `hardware`, `weights` or `data`.
        check: What was looked at.
        verdict: How bad it is.
        found: What was found.
        remedy: What to do; empty when nothing is to be done.
    """

    area: str
    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def run_check(area: str, name: str, check: Check) -> Iterator[Finding]:
    """Yield the findings of a check; what goes wrong inside it becomes one, so that the others still run."""
    try:
        yield from check()
    except SamError as error:  # which says itself what is wrong
        yield Finding(area, name, Verdict.FAILURE, str(error), "Correct what the message names, and look again.")
    except Exception as error:
        message = (str(error).splitlines() or [""])[0]
        yield Finding(
            area,
            name,
            Verdict.FAILURE,
            f"the check stopped with {type(error).__name__}: {message}",
            "Correct what the message names; if it names nothing of yours, report it together with this whole output.",
        )
