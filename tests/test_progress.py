"""Progress is a live line on a terminal, plain lines elsewhere, and nothing on other ranks."""

import io
import sys
import time

import pytest
from rich.console import Console

from lavis_sam.progress import ProgressDisplay, clock, fitted, tracked


def test_on_a_terminal_there_is_one_live_line():
    screen, lines = io.StringIO(), []
    console = Console(file=screen, force_terminal=True, width=200)
    with ProgressDisplay("data", 4, write=lines.append, console=console) as display:
        display.show(3, "3 of 4 [samples]")
        display.say("writing [files]")
    assert "data" in screen.getvalue()
    assert "3 of 4 [samples]" in screen.getvalue()
    assert "writing [files]" in screen.getvalue()
    assert not lines


def test_without_a_terminal_lines_come_when_they_are_due(monkeypatch):
    lines, now = [], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with ProgressDisplay("data", 9, write=lines.append, console=Console(file=io.StringIO()), seconds=10) as display:
        for second in (1.0, 9.0, 11.0, 12.0):
            now[0] = second
            display.show(int(second), f"{second:.0f} s")
        display.show(9, "due", is_due=True)
        display.show(9, "not due", is_due=False)
        display.say("done")
    assert lines == ["11 s", "due", "done"]


def test_another_rank_shows_nothing():
    screen, lines = io.StringIO(), []
    console = Console(file=screen, force_terminal=True)
    with ProgressDisplay("data", 4, active=False, write=lines.append, console=console) as display:
        display.show(1, "text", is_due=True)
        display.say("text")
    assert not screen.getvalue()
    assert not lines


def test_tracked_items_come_as_they_are(capsys):
    assert list(tracked("abc", "letters", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(5, "00:05"), (310.9, "05:10"), (3910, "1:05:10")])
def test_clock(seconds, text):
    assert clock(seconds) == text


TRAINING = (
    "step 1200/3450  loss 1.2345 (language 1.2, extra 0.1)  lr 2.00e-05  9.9 samples/s  data 25 %  3.0 GiB  "
    "1:05:10 left"
)
SYNTHESIS = "120/500 samples  1.2/s  05:10 left | layout 130 · compose 128 | rejected: worker 9"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (TRAINING, "step 1200/3450  loss 1.2345  1:05:10 left"),
        (SYNTHESIS, "120/500 samples  1.2/s  05:10 left"),
        ("12 of 400 samples answered  0.51 samples/s  12:40 left", "12 of 400 samples answered  12:40 left"),
        ("short", "short"),
    ],
)
def test_a_line_that_is_too_long_keeps_the_count_and_the_time_left(text, wanted):
    assert fitted(text, 48) == wanted
    assert fitted(text, len(text)) == text
    assert fitted(text, 12).endswith(wanted.split("  ")[-1])


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize(("title", "text"), [("epoch 1/16", TRAINING), ("samples", SYNTHESIS)])
def test_a_terminal_of_80_columns_shows_title_and_time_left(width, title, text):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width)
    with ProgressDisplay(title, 4, console=console) as display:
        display.show(3, text)
    assert title in screen.getvalue()
    assert ("1:05:10 left" if text is TRAINING else "05:10 left") in screen.getvalue()


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_titles_and_texts_of_others_are_shown_and_not_obeyed(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    hostile = "a[/b]\x1b]0;owned\x07"
    assert list(tracked([1, 2], hostile, 2)) == [1, 2]
    with ProgressDisplay(hostile, 4) as display:
        display.show(3, hostile)
        display.say(hostile)
    assert screen.getvalue().count(r"a[/b]\u001b]0;owned\u0007") >= 3
    assert "\x1b]0;" not in screen.getvalue()
    assert "\x07" not in screen.getvalue()
