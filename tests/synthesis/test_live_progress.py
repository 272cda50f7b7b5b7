import io

from lavis_sam.synthesis.live_progress import LiveProgress, NoProgress, PlainProgress, progress_for
from lavis_sam.synthesis.runners import Progress


def emit(line):
    with line:
        line.found(3)
        line.watch(Progress("plan", 4, 0))
        line.watch(Progress("segment", 3, 1))
        line.watch(Progress("accepted", 3, 0))
        line.replace(1)
        line.say("writing")


def test_plain_lines_for_logs():
    stream = io.StringIO()
    emit(PlainProgress(10, stream, seconds=0))
    last = stream.getvalue().splitlines()[-2]
    assert last.startswith("5/10 samples  ")
    assert "left" in last
    assert last.endswith("| plan 4 · segment 3 | rejected: segment 1, duplicates 1")
    assert stream.getvalue().splitlines()[-1] == "writing"


def test_plain_lines_are_rare():
    stream = io.StringIO()
    line = PlainProgress(10, stream, seconds=1000)
    line.show()
    for _ in range(100):
        line.watch(Progress("plan", 1, 0))
    assert len(stream.getvalue().splitlines()) <= 1


def test_one_block_on_a_terminal(capsys):
    emit(LiveProgress(10))
    assert "5/10 samples" in capsys.readouterr().err


def test_silence(capsys):
    emit(NoProgress())
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_lines_and_a_terminal_the_block(monkeypatch):
    assert isinstance(progress_for(5), PlainProgress)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(progress_for(5), LiveProgress)
