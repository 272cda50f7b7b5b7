"""How the command line shows itself, and which old names of options it goes on understanding.

Apart from the commands, so that all old names stand in one table.
"""

from collections.abc import Callable
from typing import Any

from typer.core import TyperGroup

# Command -> old name of an option -> its name now. Old names work and are not shown.
OLD_OPTIONS: dict[str, dict[str, str]] = {
    "benchmark": {"only": "dataset", "ckpt": "checkpoint"},
    "doctor": {"data": "dataset", "ckpt": "checkpoint"},
    **{name: {"ckpt": "checkpoint"} for name in ("caption", "evaluate", "explain", "export")},
}


def settings_of(command: str) -> dict[str, Any]:
    """Return the context settings of a command: what its old option names mean."""
    return {"token_normalize_func": _renaming(OLD_OPTIONS.get(command, {}))}


def _renaming(names: dict[str, str]) -> Callable[[str], str]:
    return lambda token: names.get(token, token)


class WholeSentences(TyperGroup):
    """A group whose list of commands shows the first sentence of each command's help whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, first_sentence(command.help)) for name, command in commands if command and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def first_sentence(text: str | None) -> str:
    """Return the first paragraph's first sentence, on one line."""
    paragraph = " ".join((text or "").split("\n\n")[0].split())
    sentence, mark, _ = paragraph.partition(". ")
    return sentence + mark.strip()
