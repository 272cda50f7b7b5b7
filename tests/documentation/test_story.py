"""docs/story.md shows the numbers of docs/story.json, which `make story` wrote; README and card quote them."""

import importlib.util
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_story", REPOSITORY / "tools" / "make_story.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found():
    return json.loads((REPOSITORY / "docs" / "story.json").read_text(encoding="utf-8"))


def test_the_table_is_that_of_the_results(tool, found):
    assert tool.table(found) in (REPOSITORY / "docs" / "story.md").read_text(encoding="utf-8")


def test_all_rows_have_all_seeds(found):
    for rows in found["sets"].values():
        assert set(rows) == set(found["rows"])
        assert all(set(entry["seeds"]) == {"0", "1", "2"} for entry in rows.values())


@pytest.mark.parametrize("row", ["sam_others", "sam_self", "base"])
def test_the_readme_quotes_them(found, row):
    mean = 100 * found["sets"]["pairs, icons seen"][row]["mean"]
    assert f"{mean:.1f}" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_a_row_that_is_not_finished_has_an_empty_cell(tool):
    entry = {"count": 2, "mean": 0.5, "low": None, "high": None, "seeds": {"0": 0.5}}
    found = {"rows": {"a": "1 A", "b": "2 B"}, "sets": {"pairs, icons seen": {"a": entry}}}
    assert tool.table(found).splitlines()[2:] == ["| 1 A | 50.0 |", "| 2 B |  |"]
