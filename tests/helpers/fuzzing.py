"""What the fuzzers of tests/fuzz share: how many examples, how bytes are damaged, how much memory may be used.

In the default tests hypothesis derives its examples from the test itself, so they are always the same; `make fuzz` sets
`LAVIS_SAM_FUZZ=1` and gives a new `--hypothesis-seed` every round, until its time is over.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings, strategies

LONG = os.environ.get("LAVIS_SAM_FUZZ", "") == "1"


def fuzz_settings(examples: int) -> settings:
    """Settings of a fuzzer: `examples` fixed ones in the default tests, ten times as many, all new, in a long run."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        deadline=None, max_examples=examples * (10 if LONG else 1), derandomize=not LONG, suppress_health_check=checks
    )


@strategies.composite
def damaged(draw, whole: bytes, most: int = 4) -> bytes:
    """Bytes made from `whole` by up to `most` changes: bytes replaced, cut off, removed, doubled or put in."""
    harmed = bytearray(whole)
    for _ in range(draw(strategies.integers(1, most))):
        at = draw(strategies.integers(0, len(harmed)))
        match draw(strategies.sampled_from(["change", "cut", "double", "remove", "insert"])):
            case "change":
                new = draw(strategies.binary(min_size=1, max_size=8))
                harmed[at : at + len(new)] = new
            case "cut":
                del harmed[at:]
            case "double":
                harmed[at:at] = harmed[at : at + 512 * draw(strategies.integers(1, 6))]
            case "remove":
                del harmed[at : at + draw(strategies.integers(1, 2000))]
            case "insert":
                harmed[at:at] = draw(strategies.binary(min_size=1, max_size=64))
    return bytes(harmed)


@contextmanager
def limited_memory(megabytes: int) -> Iterator[None]:
    """Give the process at most `megabytes` of address space beyond what it has: more is a MemoryError (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + megabytes * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
