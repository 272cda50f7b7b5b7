"""For all tests: a suite that has passed must also end."""

import faulthandler

SECONDS = 120.0


def pytest_unconfigure():
    """What outlives the tests (a thread, a child process) is shown and fails the run, instead of hanging it."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
