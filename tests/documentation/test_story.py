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
def page():
    return (REPOSITORY / "docs" / "story.md").read_text(encoding="utf-8")


def results(name):
    return json.loads((REPOSITORY / "docs" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found():
    return results("story")


@pytest.mark.parametrize("name", ["story", "story_fives"])
def test_the_tables_are_those_of_the_results(tool, page, name):
    assert tool.table(results(name)) in page


def test_the_surface_is_that_of_the_results(tool, page):
    surface = tool.surface(results("story_figure5"))
    assert surface.count("±") == 10
    assert surface in page


@pytest.mark.parametrize(("name", "seeds"), [("story", 5), ("story_figure5", 3), ("story_fives", 3)])
def test_all_rows_have_all_seeds(name, seeds):
    found = results(name)
    for rows in found["sets"].values():
        assert set(rows) == set(found["rows"])
        assert all(set(entry["seeds"]) == {str(seed) for seed in range(seeds)} for entry in rows.values())


@pytest.mark.parametrize("row", ["sam_others", "sam_self", "base"])
def test_the_readme_quotes_them(found, row):
    mean = 100 * found["sets"]["pairs, icons seen"][row]["mean"]
    assert f"{mean:.1f}" in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_a_row_that_is_not_finished_has_an_empty_cell(tool):
    entry = {"count": 2, "mean": 0.5, "low": None, "high": None, "seeds": {"0": 0.5}}
    found = {"rows": {"a": "1 A", "b": "2 B"}, "sets": {"pairs, icons seen": {"a": entry}}}
    assert tool.table(found).splitlines()[2:] == ["| 1 A | 50.0 |", "| 2 B |  |"]


def test_rows_of_one_place_have_no_surface(tool, found):
    assert tool.surface(found) == ""
