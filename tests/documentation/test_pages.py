"""What pages of the documentation say is so: extras, names of tests, commands."""

import re
import shlex

import pytest

from helpers.environments import REPOSITORY

DOCS = REPOSITORY / "docs"


def test_every_extra_is_on_the_page_of_installing():
    extras = re.search(r"extras_require=\{(.*?)\n    \}", (REPOSITORY / "setup.py").read_text("utf-8"), re.S)[1]
    named = re.findall(r"^\| `([\w-]+)` \|", (DOCS / "install.md").read_text("utf-8"), re.M)
    assert sorted(named) == sorted(re.findall(r'^ +"([\w-]+)": \[', extras, re.M))


TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text("utf-8")
ANSWERS = [line for line in TROUBLESHOOTING.splitlines() if re.match(r"\| (?!complaint)", line)]


@pytest.mark.parametrize("line", ANSWERS)
def test_an_answer_to_a_complaint_names_tests_that_exist(line):
    named = [re.fullmatch(r"`([\w/]+\.py)(?:::(\w+))?`", name) for name in line.rsplit("|", 2)[1].strip().split(", ")]
    assert all(named), line
    for found in named:
        text = (REPOSITORY / "tests" / found[1]).read_text("utf-8")
        assert not found[2] or re.search(rf"^ *def {found[2]}\(", text, re.M), f"{found[1]} has no {found[2]}"


def test_there_is_an_answer_to_every_complaint():
    assert len(ANSWERS) == 25


def test_the_command_of_the_page_on_guidance_runs(run, tmp_path, monkeypatch):
    (command,) = re.findall(r"^lavis-sam (.+)$", (DOCS / "guidance.md").read_text("utf-8"), re.M)
    monkeypatch.chdir(REPOSITORY)
    *words, out = shlex.split(command)
    assert out == "output/explanation"
    code, _, _ = run(*words, tmp_path / "explanation", "--device", "cpu")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "explanation").iterdir()) == [
        "explanation.json",
        "measures.npz",
        "overview.png",
    ]
