"""No page has a command that nothing runs, and every command that a page mentions is one."""

import re
import shlex

import pytest

from helpers.documentation import PAGES, Block, blocks, inline, makefile, parse, problem_of, read, unknown_parts
from helpers.environments import REPOSITORY

# Page -> the test that runs its blocks of `bash` and `python`, as they stand there or with a smaller model and numbers.
RUN = {
    **dict.fromkeys(
        ("README.md", *(f"docs/{name}.md" for name in ("training", "data", "tables", "speed", "synthesis/README"))),
        "integration/test_readme.py",
    ),
    "docs/tour.md": "integration/test_tour.py",
    "docs/guidance.md": "documentation/test_pages.py",
    "docs/serving.md": "integration/test_page_commands.py",
    "docs/synthesis/backends.md": "integration/test_page_commands.py",
    "docs/synthesis/judging.md": "integration/test_page_commands.py",
}
# The same for blocks of `sh`, which need what a newcomer has to bring: by the name above the block.
RUN_BY_NAME = {
    "convert": "integration/test_readme.py",
    "sharding": "integration/test_sharding.py",
    "baselines": "integration/test_readme.py",
    "tables": "integration/test_reproduce_tables.py",
    "installed": "integration/test_page_commands.py",
    "device-map": "integration/test_page_commands.py",
    "slurm": "test_run_scripts.py",
    "demo": "demo/demo_in_browser.py",
    "ray": "integration/test_page_commands.py",
    "lmms-eval": "evaluators/lmms_eval_end_to_end.py",
    "vlmeval": "evaluators/vlmeval_end_to_end.py",
    "vlmeval-public": "evaluators/vlmeval_end_to_end.py",
}
# What no test runs as it stands, because the commands of `make` do just that, and CI runs those.
BY_MAKE = {
    "python -m pip install --no-deps -r requirements.txt": "test",
    "python -m pip install --no-deps -r requirements-lmms-eval.txt": "test-lmms-eval",
    "python -m pip install --no-deps --no-build-isolation -e .": "test",
    "make setup-demo": "test-demo",
    "make setup-vlmeval": "test-vlmeval",
}
BLOCKS = [block for page in PAGES for block in blocks(page)]


def runner_of(block: Block) -> str | None:
    """The test that runs a block."""
    tables = block.page == "docs/tables.md" and block.kind == "sh" and not block.marker  # between those of `tables`
    if block.kind == "sh":
        return RUN_BY_NAME.get("tables" if tables else block.marker)
    return RUN.get(block.page)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page} {block.text.split(chr(10))[0]}")
def test_every_command_has_a_test_that_runs_it(block):
    runner = runner_of(block)
    if runner is None:
        nobody = [line for line in block.lines if line not in BY_MAKE]
        assert not nobody, f"{block.page}: no test runs these; see RUN, RUN_BY_NAME and BY_MAKE"
    else:
        page = block.page.rsplit("/", 1)[-1].removesuffix(".md")
        name = block.marker if block.kind == "sh" and block.marker else page
        assert re.search(rf'["/]{re.escape(name)}["./]', read(f"tests/{runner}")), f"tests/{runner} reads no {name}"


def test_what_make_runs_is_in_its_recipes_and_in_ci():
    pages = "\n".join(line for block in BLOCKS for line in block.lines)
    ci = read(".ci/run")
    for command, target in BY_MAKE.items():
        assert command in pages, f"{command}: on no page any more"
        assert re.search(rf"\b{target}\b", ci)
        if command.startswith("make"):
            ready = re.search(rf"^{command.split()[1]}: (\S+)$", makefile(), re.MULTILINE)[1]
            assert f"{target}: {ready}\n" in makefile()
        else:
            wanted = command.split("pip install ")[1].split(" -r ")[-1]
            assert wanted in makefile()


SHELL = [(block, line) for block in BLOCKS if block.kind != "python" for line in block.lines]


@pytest.mark.parametrize(("block", "line"), SHELL, ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_is_understood(block, line):
    """With what it means for the shell put in: variables, a loop."""
    for part in re.split(r"; do | &$|; done", line.replace("$gpu", "0")):
        words = shlex.split(part.split(" > ")[0].strip(), comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            del words[0]
        if words and words[0].rsplit("/", 1)[-1] == "lavis-sam":
            parse(words[1:])
        elif words and words[0] in ("python", "make", "sbatch"):
            assert problem_of(shlex.join(words)) is None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_sentence_is_one(page):
    assert [problem for command in inline(page) if (problem := problem_of(command))] == []


@pytest.mark.parametrize(
    "command",
    [
        "lavis-sam serv",
        "lavis-sam data exprt lmms-eval",
        "lavis-sam caption --beams 1",
        "make tests",
        "pip install lavis_sam[servce]",
        "python -m pip install -r requirements-absent.txt",
        "python benchmarks/absent.py",
    ],
)
def test_a_command_that_is_none_is_found(command):
    assert problem_of(command)


def test_a_command_that_does_not_parse_is_found():
    with pytest.raises(Exception, match="No such option"):
        parse(shlex.split("data export lmms-eval data --output tasks"))
    assert unknown_parts(["vlmeval", "--", "--data", "x"]) == []


def test_a_new_command_on_a_page_is_found():
    assert runner_of(Block("docs/demo.md", "sh", "lavis-sam new\n", "")) is None
    assert runner_of(Block("docs/new.md", "bash", "lavis-sam new\n", "")) is None
    assert (REPOSITORY / "docs" / "demo.md").is_file()
