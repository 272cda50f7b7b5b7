import ast
import io
import json
import logging
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from lavis_sam import terminal
from lavis_sam.terminal import PrintableFormatter, echo, message_lines, print_error, printable, printable_console

PACKAGE = Path(terminal.__file__).parent
HOSTILE = "a\x1b]0;owned\x07\x9b31m\r\u202egpj\u2066\u2028z\x7f\ud800"
SHOWN = r"a\u001b]0;owned\u0007\u009b31m\u000d\u202egpj\u2066\u2028z\u007f\ud800"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_printable_shows_what_a_terminal_would_obey():
    assert printable(HOSTILE) == SHOWN
    assert json.loads(f'"{printable(HOSTILE)}"') == HOSTILE
    assert printable("Zürich – ☂ 👩‍🚀\tשלום\n") == "Zürich – ☂ 👩‍🚀\tשלום\n"


def test_message_lines_cannot_look_like_another_message():
    assert message_lines("run x\nlavis-sam: all is well\n  * a\n") == "run x\n  lavis-sam: all is well\n  * a\n"


def test_print_error_is_printable_whatever_standard_error_is(capsys):
    print_error("lavis-sam", ValueError(f"{HOSTILE}\nlavis-sam: fine"))
    assert capsys.readouterr().err == f"lavis-sam: error: {SHOWN}\n  lavis-sam: fine\n"


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), "\\u001b[1m"), (io.StringIO(), "\x1b[1m")])
def test_echo_changes_what_a_terminal_shows_and_no_file(monkeypatch, stream, shown):
    monkeypatch.setattr(sys, "stdout", stream)
    echo("\x1b[1m", nl=False)
    assert stream.getvalue() == shown


def test_echo_writes_names_that_are_not_utf8(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    echo("\udcffé")
    assert stream.buffer.getvalue() == b"\\udcff\\xe9\n"


def test_printable_console_prints_texts_as_they_are_and_its_own_colours():
    out = Terminal()
    table = Table("name")
    table.add_row("[red]no style[/red] [/] :smile:")
    table.add_row("a\x1b[2J\x9b")
    printable_console(file=out, force_terminal=True, color_system="truecolor", width=80).print(table, style="red")
    assert "[red]no style[/red] [/] :smile:" in out.getvalue()
    assert r"a\u001b[2J\u009b" in out.getvalue()
    assert "\x1b[31m" in out.getvalue()  # which the console itself wrote
    assert "\x9b" not in out.getvalue()
    assert isinstance(printable_console(), Console)


def test_printable_formatter_keeps_a_record_one_message():
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", ("a\x1b[2J\n12:00:00 forged",), None)
    assert PrintableFormatter("%(message)s").format(record) == "a\\u001b[2J\n  12:00:00 forged"


def calls(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_nothing_is_printed_past_this_module():
    """Whoever prints uses `echo`, `print_error`, `printable_console` and `log_to_stderr`."""
    raw = ("print", "typer.echo", "typer.secho", "click.echo", "Console", "logging.basicConfig")
    written = ("sys.stderr.write", "sys.stdout.write")
    places = [path for path in sorted(PACKAGE.rglob("*.py")) if path != Path(terminal.__file__)]
    found = [f"{path}:{line}: {name}" for path in places for name, line in calls(path) if name in (*raw, *written)]
    assert not found, "\n".join(found)
