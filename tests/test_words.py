"""One name for one thing: the words that the field does not use, or that we gave up for others, do not come back.

ARCHITECTURE.md's glossary says what is used instead. Names (identifiers, files) and prose (comments, docstrings,
messages, documentation) are looked at. Formats stay: keys of JSON and YAML files, and the prompts of data sets.
"""

import io
import re
import tokenize
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("lavis_sam", "tests", "benchmarks", "tools")
# Old name -> what it is called now.
NAMES = {
    "Answerer": "EvaluationModel",
    "Asking": "RequestConfig",
    "Draw": "SampleRequest",
    "Ledger": "SampleStore",
    "Mirror": "MetricLogger",
    "Question": "EvaluationSample",
    "Tell": "EventSink",
    "Watch": "StageCallback",
    "_judge_unusable": "handle_bad_samples",
    "answering": "generation_loop",
    "assembly": "registry",
    "careful": "isolate",
    "company": "same_scene",
    "continuing": "resume",
    "exchanging_gradients": "wrap_ddp",
    "finishing": "dataset_writer",
    "guilty": "failing_ranks",
    "journal": "metric_log, prediction_log",
    "leave_signals_to_the_parent": "ignore_signals_in_worker",
    "left_out": "skipped",
    "making": "worker",
    "mirrors": "metric_loggers",
    "patience": "retry",
    "randomness": "rng_state",
    "stand_in": "dummy, fake",
    "thing": "object",
    "told": "required_words",
    "twin_of": "paired_with",
    "whose": "failing_ranks",
    "wishes": "flags",
}
PARTS = re.compile(r"picture|Picture|PICTURE")
PROSE = re.compile(
    r"\bpictures?\b|\bmirrors\b|\bjournals?\b|\bstand-ins?\b|\bguilty\b|\bpatience\b|\bmended\b"
    r"|look at nothing yet|take the parts|\bdeaf\b|all of them hear",
    re.IGNORECASE,
)
# Data, or names of others: prompts and phrases, licences, published texts, results of benchmarks.
DATA = ("assets", "prompts", "fixtures", "results", "compatibility", "licences")
SUFFIXES = (".md", ".yaml", ".sh", ".toml")
KEY = re.compile(r"[\w./%*-]*")


def tracked(*suffixes: str) -> list[Path]:
    found = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*") if path.suffix in suffixes]
    return [path for path in sorted(found) if not {*path.relative_to(REPOSITORY).parts} & {*DATA, "mutants"}]


def text_of(token: tokenize.TokenInfo) -> str:
    """The words of a comment or of a text with spaces in it; "" of a key, a path or a pattern."""
    if token.type == tokenize.COMMENT:
        return token.string
    body = token.string.lstrip("rbfuRBFU")[1:-1]
    # Keys of formats in quotes, in brackets or with what stands below them.
    return "" if KEY.fullmatch(body) else re.sub(r"""\[(['"])\w+\1\]|`[^`]*`|\bpictures\.\w+""", "", body)


@pytest.mark.parametrize("path", tracked(".py"), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_words_of_a_module(path):
    if path == Path(__file__):
        return
    found, before = [], ""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        place = f"{path.name}:{token.start[0]}"
        is_foreign = before.endswith("ImageDraw.")  # Pillow's own Draw
        before = (before + token.string)[-10:]
        if token.type == tokenize.NAME and not is_foreign and (token.string in NAMES or PARTS.search(token.string)):
            found.append(f"{place}: {token.string}, wanted {NAMES.get(token.string, 'image')}")
        elif token.type in (tokenize.COMMENT, tokenize.STRING) and (word := PROSE.search(text_of(token))):
            found.append(f"{place}: {word[0]!r} in {token.string[:60]!r}")
    assert not found, "\n".join(found)


def test_names_of_files():
    names = [path.relative_to(REPOSITORY) for path in tracked(".py")]
    assert not [name for name in names if name.stem.removeprefix("test_") in NAMES or PARTS.search(name.stem)]


@pytest.mark.parametrize("name", ["journal", "loading", "pictures", "progress", "report", "settings", "sources"])
def test_a_name_leads_to_one_module(name):
    files = [path for path in tracked(".py") if REPOSITORY / "lavis_sam" in path.parents]
    places = [path for path in files if path.stem == name] + [path for path in files if path.parent.name == name]
    assert len({path if path.stem == name else path.parent for path in places}) <= 1, places


PAGES = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "lavis_sam/ARCHITECTURE.md")]


@pytest.mark.parametrize("page", [*PAGES, *sorted((REPOSITORY / "docs").rglob("*.md"))], ids=str)
def test_words_of_the_documentation(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    found = [line.strip() for line in text.splitlines() if PROSE.search(line)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["Look at the pictures.", "A journal of the run.", "the guilty rank", "Stand-in"])
def test_prose_with_an_old_word_is_found(text):
    assert PROSE.search(text)


@pytest.mark.parametrize("text", ["Look at the images.", "It depicts a chair.", "journalism", "impatience"])
def test_other_prose_is_left_alone(text):
    assert not PROSE.search(text)
