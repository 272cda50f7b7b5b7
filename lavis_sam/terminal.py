"""Text for a terminal: what others wrote (names of files, a service's words, a model's answers) is shown, never obeyed.

A terminal takes ESC and its kin as commands: they move the cursor, set the title, write into the clipboard; marks of
writing direction make a name look like another. Here they become visible (\\u001b). Files and pipes get text as it is.
"""

import functools
import logging
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# C0 but tabs and line ends, DEL, C1; marks of direction; line separators; halves of characters, which no file can hold.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return the text with everything that a terminal would obey as \\uXXXX, which JSON reads as the same text."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def message_lines(text: str) -> str:
    """Return a printable message whose later lines are indented, so that none looks like a message of its own."""
    first, *rest = printable(text).split("\n")
    return "\n".join([first, *(line if line.startswith((" ", "\t")) or not line else f"  {line}" for line in rest)])


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text; printable on a terminal and on standard error, as it is into a file or a pipe."""
    stream: TextIO = sys.stderr if err else sys.stdout
    if err or stream.isatty():
        text = printable(text)
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + ("\n" if nl else ""))
    stream.flush()


def print_error(program: str, error: object) -> None:
    """Print what ends a program, on standard error."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror}. Check the path, its permissions and the room on the disk."
    echo(f"{program}: error: {message_lines(text)}", err=True)


def printable_console(**options: Any) -> "Console":
    """Return rich's console, which prints no control character but its own, and takes no `[…]` in a text for a style.

    Args:
        options: Of `rich.console.Console`.
    """
    return _console_class()(**{"markup": False, "emoji": False, **options})


@functools.cache
def _console_class() -> Any:
    from rich.console import Console
    from rich.segment import Segment

    class PrintableConsole(Console):
        def render(self, *args: Any, **options: Any) -> Any:
            for segment in super().render(*args, **options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return PrintableConsole


class PrintableFormatter(logging.Formatter):
    """Writes log records as `message_lines`."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as ever, printable."""
        return message_lines(super().format(record))


def log_to_stderr(level: int) -> None:
    """Write log records to standard error, with the time, unless logging is set up already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler])
