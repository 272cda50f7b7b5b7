"""Imports of large libraries in less time: Python's garbage collector waits until they are done.

PyTorch, transformers and LAVIS make some hundred thousand objects that stay; looking through them again and again for
garbage is a fifth of the time that importing them takes.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fast_imports() -> Iterator[None]:
    """Let no garbage be collected in the block; afterwards the collector is on if it was on before."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
