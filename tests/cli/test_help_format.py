"""Help in whole sentences, `-h`, completion, and option names of before that go on working."""

import os
import re
import subprocess
import sys

import pytest
import typer.main

from lavis_sam.cli import app
from lavis_sam.cli.help_format import OLD_OPTIONS, first_sentence


@pytest.mark.parametrize("words", [(), ("data",)])
def test_lists_of_commands_hold_whole_sentences(run, words):
    code, out, _ = run(*words, "--help")
    assert code == 0
    assert "..." not in out.split("Commands:")[1]
    commands = " ".join(out.split("Commands:")[1].split())
    for sentence in {
        (): ("with the same prompts, scored by the same protocol.", "each row saying which it is.", "test splits."),
        ("data",): ("with a manifest of their checksums.", "and show all that is wrong in one table."),
    }[words]:
        assert sentence in commands


@pytest.mark.parametrize("words", [(), ("train",), ("data",), ("data", "stats"), ("table",)])
def test_h_is_help(run, words):
    code, out, _ = run(*words, "-h")
    assert (code, out) == (0, run(*words, "--help")[1])


COMMANDS = typer.main.get_command(app).commands
COMMANDS |= {f"data {name}": command for name, command in COMMANDS["data"].commands.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_and_a_sentence_for_each_option(name):
    assert re.search(rf"Examples?:\n  lavis-sam {name}\b", COMMANDS[name].help)
    for parameter in COMMANDS[name].params:
        if not getattr(parameter, "hidden", False):
            text = parameter.help or ""
            assert text.endswith("."), f"{parameter.name}: {text!r}"
            assert "Default:" not in text, f"{parameter.name}: write `by default`, in {text!r}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Write it. Then more.\n\nAnd more.", "Write it."),
        ("Score: ROUGE-L, x100,\n    and CIDEr\n\nMore.", "Score: ROUGE-L, x100, and CIDEr"),
        ("Version 1.5 of it.", "Version 1.5 of it."),
        (None, ""),
    ],
)
def test_first_sentence(text, sentence):
    assert first_sentence(text) == sentence


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("lavis-sam ev", {"evaluate"}), ("lavis-sam exp", {"explain", "export"}), ("lavis-sam data sp", {"split"})],
)
def test_bash_completes_commands(typed, wanted):
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    code = "import sys; sys.argv = ['lavis-sam']; from lavis_sam.cli import main; main()"
    environment = os.environ | asked | {"_LAVIS_SAM_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert set(done.stdout.split()) == wanted, done.stderr


def test_completion_is_offered(run):
    assert "--install-completion" in run("--help")[1]


OLD = [(command, old, new) for command, names in OLD_OPTIONS.items() for old, new in names.items()]


@pytest.mark.parametrize(("command", "old", "new"), OLD)
def test_old_names_of_options_work_and_are_not_shown(run, command, old, new):
    out = run(command, "--help")[1]
    assert f"--{new} " in out
    assert f"--{old} " not in out or (command, old) == ("benchmark", "data")
    code, _, err = run(command, f"--{old}")  # a value is missing
    assert code == 2
    assert "No such option" not in err
    assert "requires an argument" in err
