"""For all tests: the command line, and a suite that has passed must also end."""

import faulthandler
import os
import sys

import pytest

from lavis_sam.cli import main

# A process of pytest-xdist that has no tests left waits for the others.
SECONDS = 900.0 if "PYTEST_XDIST_WORKER" in os.environ else 120.0


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["lavis-sam", *map(str, arguments)])
        monkeypatch.setattr("lavis_sam.cli._leave", sys.exit)  # which may end the process, and so the tests
        with pytest.raises(SystemExit) as exit_:
            main()
        output = capsys.readouterr()
        return exit_.value.code or 0, output.out, output.err

    return run_command


def pytest_unconfigure():
    """What outlives the tests (a thread, a child process) is shown and fails the run, instead of hanging it."""
    if "MUTANT_UNDER_TEST" not in os.environ:  # `make mutation` runs tests many times in one process
        faulthandler.dump_traceback_later(SECONDS, exit=True)
