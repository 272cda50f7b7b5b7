"""When to ask, and when to ask again."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lavis_sam.baselines.transport import FailedError
from lavis_sam.errors import SamConfigurationError

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """How often to try and how long to wait.

    Attributes:
        attempts: The most tries of one question, the first included.
        first_wait: Seconds before the second try; doubled for each further one, and drawn from its upper half, so that
            threads that failed together do not come back together.
        longest_wait: Seconds; a service that wants a longer wait is not waited for.

    Raises:
        SamConfigurationError: No attempt, or a negative wait.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait < 0 or self.longest_wait < 0:
            raise SamConfigurationError(f"{self}: wanted at least 1 attempt and no negative wait.")

    def wait(self, failures: int, asked: float | None) -> float | None:
        """Return seconds before the next try, or None if there should be none.

        Args:
            failures: How many tries have failed.
            asked: Seconds that the service wants; None if it did not say.
        """
        if failures >= self.attempts or (asked is not None and asked > self.longest_wait):
            return None
        backoff = min(self.longest_wait, self.first_wait * 2.0 ** min(failures - 1, 30))
        return max(backoff * random.uniform(0.5, 1.0), asked or 0.0)


def retry(attempt: Callable[[], _Answer], policy: RetryPolicy, sleep: Callable[[float], object]) -> _Answer:
    """Call `attempt`, again after a failure as the policy says.

    Args:
        attempt: Raises `FailedError` when it should be called again.
        sleep: Waits so many seconds.

    Raises:
        FailedError: The last one; what else `attempt` raises passes through.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except FailedError as error:
            failures += 1
            wait = policy.wait(failures, error.wait)
            if wait is None:
                raise
            logger.info("attempt %d failed (%s); the next one is in %.1f s", failures, error, wait)
        sleep(wait)


class RequestRate:
    """Spreads requests over time, for any number of threads."""

    def __init__(
        self,
        per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Let the first request through at once.

        Args:
            per_minute: The most requests that start within a minute; None for no limit.

        Raises:
            SamConfigurationError: Not above 0.
        """
        if per_minute is not None and not per_minute > 0:
            raise SamConfigurationError(f"requests per minute: found {per_minute}, wanted a number above 0.")
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next = float("-inf")

    def wait(self, sleep: Callable[[float], object]) -> None:
        """Return when the next request may start.

        Args:
            sleep: Waits so many seconds.
        """
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._gap
        if start > now:
            sleep(start - now)
