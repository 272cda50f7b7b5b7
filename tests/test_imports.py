"""Imports of large libraries: the garbage collector waits, and is afterwards as it was."""

import gc

import pytest

from lavis_sam.imports import fast_imports


@pytest.fixture(autouse=True)
def collector():
    was_enabled = gc.isenabled()
    yield
    (gc.enable if was_enabled else gc.disable)()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_waits_and_is_as_it_was(is_enabled):
    (gc.enable if is_enabled else gc.disable)()
    with fast_imports():
        assert not gc.isenabled()
        with fast_imports():  # LAVIS imports a module of ours that imports LAVIS
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() is is_enabled


def test_the_collector_is_on_again_after_an_import_that_fails():
    gc.enable()
    with pytest.raises(ImportError), fast_imports():
        raise ImportError("no such library")
    assert gc.isenabled()
