"""The counts of a run as a line; `tests/test_progress.py` has the display."""

from lavis_sam.synthesis.live_progress import RunProgress
from lavis_sam.synthesis.runners import Progress


def emit(line):
    with line:
        line.found(3)
        line.watch(Progress("plan", 4, 0))
        line.watch(Progress("segment", 3, 1))
        line.watch(Progress("accepted", 3, 0))
        line.replace(1)
        line.say("writing")


def test_run_progress_writes_plain_lines_to_logs():
    lines = []
    emit(RunProgress(10, seconds=0, write=lines.append))
    assert lines[-2].startswith("5/10 samples  ")
    assert "left" in lines[-2]
    assert lines[-2].endswith("| plan 4 · segment 3 | rejected: segment 1, duplicates 1")
    assert lines[-1] == "writing"


def test_run_progress_writes_to_standard_error_by_default(capsys):
    emit(RunProgress(10))
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines()[-1] == "writing"


def test_run_progress_writes_rarely():
    lines = []
    line = RunProgress(10, seconds=1000, write=lines.append)
    for _ in range(100):
        line.watch(Progress("plan", 1, 0))
    assert len(lines) <= 1


def test_run_progress_is_silent_when_it_is_not_active(capsys):
    emit(RunProgress(10, active=False))
    assert capsys.readouterr() == ("", "")
