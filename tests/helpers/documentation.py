"""The commands of the documentation: where each stands, and what a command line says of it without running it."""

import functools
import re
import shlex
from dataclasses import dataclass

import typer

from helpers.environments import REPOSITORY
from lavis_sam.cli import app

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(p.relative_to(REPOSITORY)) for p in REPOSITORY.glob("docs/**/*.md")),
)
_BLOCK = re.compile(r"(?:^<!-- ([\w-]+) -->\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:lavis-sam|make|pip|python) [^`]+)`")
_COMMANDS = ("bash", "sh", "python")


@dataclass(frozen=True)
class Block:
    """Commands as they stand on a page.

    Attributes:
        marker: The name between <!-- and --> above it, if there is one.
    """

    page: str
    kind: str
    text: str
    marker: str

    @property
    def lines(self) -> list[str]:
        """The commands of a shell, each on one line."""
        return self.text.replace("\\\n", " ").strip().splitlines()


def read(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """What can be run of a page."""
    found = (Block(page, kind, text, marker or "") for marker, kind, text in _BLOCK.findall(read(page)))
    return [block for block in found if block.kind in _COMMANDS]


def inline(page: str) -> list[str]:
    """The commands that stand in sentences and tables."""
    prose = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(command.split()) for command in _INLINE.findall(prose)]


def parse(words: list[str]) -> None:
    """Parse a command of `lavis-sam` as it would be before it runs; what is wrong raises."""
    command, above = typer.main.get_command(app), None
    name = "lavis-sam"
    while True:
        above = command.make_context(name, list(words), parent=above)
        if not hasattr(command, "commands"):
            return
        name, command, words = command.resolve_command(above, [*above._protected_args, *above.args])


def unknown_parts(words: list[str]) -> list[str]:
    """The names of commands and options in a command's mention that there are not; values are not looked at."""
    command, wrong = typer.main.get_command(app), []
    for word in words:
        if word == "--":
            break
        if word.startswith("-"):
            known = [name for parameter in command.params for name in parameter.opts + parameter.secondary_opts]
            wrong += [word] if word not in known else []
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
        elif hasattr(command, "commands"):
            wrong.append(word)
    return wrong


@functools.cache
def makefile() -> str:
    return read("Makefile")


def problem_of(command: str) -> str | None:
    """What is wrong with a command in a sentence, or with one that no test runs, as far as it can be seen from here."""
    words = [word for word in shlex.split(command) if word != "…"]
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        del words[0]
    program, rest = words[0].rsplit("/", 1)[-1], words[1:]
    if program == "lavis-sam":
        wrong = unknown_parts(rest)
    elif program == "make":
        wrong = [word for word in rest if "=" not in word and not re.search(rf"^{word}:", makefile(), re.MULTILINE)]
    elif program == "pip" or rest[:2] == ["-m", "pip"]:
        extras = set(re.findall(r'^ +"([\w-]+)": \[', read("setup.py"), re.MULTILINE))
        named = [extra for found in re.findall(r"lavis_sam\[([\w,-]+)\]", command) for extra in found.split(",")]
        files = [word for word in rest if word.endswith(".txt") and not (REPOSITORY / word).is_file()]
        wrong = [*(extra for extra in named if extra not in extras), *files]
    else:
        wrong = [word for word in rest if word.endswith((".py", ".yaml", ".sh")) and not (REPOSITORY / word).is_file()]
    return f"{command}: no {', '.join(wrong)}" if wrong else None
