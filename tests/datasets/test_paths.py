"""Which paths of strangers are refused before anything is opened."""

import pytest

from lavis_sam.datasets.paths import leaves_root


@pytest.mark.parametrize("path", ["/a", "/", "..", "../a", "a/..", "a/../b", "a/b/../../..", "./../a"])
def test_paths_that_leave_the_root(path):
    assert leaves_root(path)


@pytest.mark.parametrize("path", ["a", "a/b.png", "./a", "..a", "a..", "a/..b/c", "...", "", "ä b/猫.JPG"])
def test_paths_that_stay(path):
    assert not leaves_root(path)
