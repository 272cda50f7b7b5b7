"""No test of a run leaves a process behind: Python would wait for it at its end."""

import multiprocessing
import threading

import pytest


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    before = threading.enumerate()  # libraries that an earlier test used keep pools of their own
    yield
    assert multiprocessing.active_children() == []
    assert [thread for thread in threading.enumerate() if not thread.daemon and thread not in before] == []
