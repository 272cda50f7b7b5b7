"""The page to rate on: what it shows, and what may run on it."""

import base64
import hashlib
import json
import re
import shutil
from importlib import resources

import pytest

from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.judging.rating_page import write_rating_page

SCRIPT = resources.files("lavis_sam.synthesis.judging").joinpath("rate.js").read_text("utf-8")


@pytest.fixture
def page(finished, tmp_path):
    def write(**options):
        write_rating_page(finished, tmp_path / "rate.html", **{"num": 6, "seed": 1, **options})
        return (tmp_path / "rate.html").read_text("utf-8")

    return write


def ids(page):
    return re.findall(r'data-id="(\d+)"', page)


def test_the_page_draws_samples_by_its_seed_and_shows_no_score(page, finished):
    shown = page()
    assert len(ids(shown)) == len(set(ids(shown))) == 6
    assert ids(page()) == ids(shown)
    assert ids(page(seed=2)) != ids(shown)
    assert len(ids(page(num=1000))) == len((finished / "samples.jsonl").read_text().splitlines())
    assert shown.count("data:image/jpeg") == 12
    assert "mask.area" not in shown.replace(SCRIPT, "")


def test_the_page_allows_its_own_script_and_nothing_else(page):
    shown = page()
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'; img-src data:" in shown
    assert shown.count("<script") == 1
    assert "http:" not in shown
    assert "https:" not in shown


def test_markup_of_a_stranger_is_shown_as_text(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    lines = [json.loads(line) for line in (copy / "samples.jsonl").read_text().splitlines()]
    for line in lines:
        line.update(id='"><script>x</script>', instruction="<b>ask</b>", output="<script>alert(1)</script>")
    (copy / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_rating_page(copy, tmp_path / "rate.html", num=2, seed=0)
    shown = (tmp_path / "rate.html").read_text()
    assert shown.count("<script") == 1
    assert "&lt;b&gt;ask" in shown


def test_there_has_to_be_a_data_set(tmp_path):
    with pytest.raises(SamDataError, match="wanted a finished data set"):
        write_rating_page(tmp_path, tmp_path / "rate.html", num=1, seed=0)
