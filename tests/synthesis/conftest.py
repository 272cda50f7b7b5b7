"""One finished run for all tests that read it; and embedded sources that draw small."""

import pytest

from helpers.synthesis_runs import SPOILED, make
from lavis_sam.synthesis.sources import embedded


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The spoiled run, made without interruption; read only."""
    root = tmp_path_factory.mktemp("finished") / "set"
    make(root, SPOILED)
    return root


@pytest.fixture
def small(monkeypatch):
    """Tiny drawings, where only the facts matter."""
    monkeypatch.setattr(embedded, "_DRAWN", 40)
    monkeypatch.setattr(embedded, "_COVER_PIXELS", 48)
