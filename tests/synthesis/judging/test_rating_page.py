"""The page to rate on: what it shows, and its script in V8 with a document of as much as it needs."""

import json
import re
import shutil
from importlib import resources

import pytest
from py_mini_racer import MiniRacer

from helpers.ratings import samples_digest
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.judging.rating_page import write_rating_page
from lavis_sam.synthesis.judging.ratings import read_ratings

SCRIPT = resources.files("lavis_sam.synthesis.judging").joinpath("rate.js").read_text("utf-8")
DOCUMENT = """
class Element {
  constructor(values) { Object.assign(this, {dataset: {}, textContent: "", value: "", on: {}, set: {}}, values); }
  addEventListener(kind, call) { this.on[kind] = call; }
  setAttribute(name, value) { this.set[name] = value; }
  click() { downloads.push([this.download, this.href]); }
}
var downloads = [];
var named = Object.fromEntries(["rater", "samples", "state", "kept", "download"].map((id) => [id, new Element({id})]));
named.samples.textContent = "SAMPLES";
var sections = IDS.map((id) => new Element({dataset: {id}}));
var keys = ["1", "2", "3", "4"].map((key) => new Element({dataset: {key}}));
var document = new Element({
  getElementById: (id) => named[id],
  querySelectorAll: (name) => (name === ".item" ? sections : keys),
  createElement: () => new Element({}),
});
var localStorage = {
  getItem: (key) => (key in STORED ? STORED[key] : null),
  setItem: (key, value) => { if (STORED === BROKEN) throw new Error("full"); STORED[key] = value; },
};
class Blob { constructor(parts) { this.text = parts.join(""); } }
var URL = { createObjectURL: (blob) => blob.text };
function write(name) { named.rater.value = name; named.rater.on.change(); }
function press(key, more) { document.on.keydown({key, target: document, ...more}); }
function shown() { return sections.filter((item) => !item.hidden).map((item) => item.dataset.id).join(); }
"""


class Browser:
    """One visit to the page."""

    def __init__(self, ids=("a", "b", "c"), stored=None, samples="0" * 64):
        self.engine = MiniRacer()
        kept = "var BROKEN = {}; var STORED = " + ("BROKEN" if stored == "broken" else json.dumps(stored or {}))
        self.engine.eval(f"var IDS = {json.dumps(ids)}; {kept};" + DOCUMENT.replace("SAMPLES", samples))
        self.engine.eval(SCRIPT)

    def do(self, *calls):
        for call in calls:
            self.engine.eval(call)

    def state(self):
        return self.engine.eval("named.state.textContent"), self.engine.eval("shown()")

    def downloaded(self):
        self.do("named.download.on.click()")
        name, content = json.loads(self.engine.eval("JSON.stringify(downloads.at(-1))"))
        return name, json.loads(content)

    def stored(self):
        return json.loads(self.engine.eval("JSON.stringify(STORED)"))


def test_nothing_is_shown_or_rated_before_there_is_a_name():
    browser = Browser()
    browser.do("press('1')")
    assert browser.state() == ("Write your name first.", "")
    assert browser.engine.eval("named.download.disabled")
    browser.do("write('Ada')")
    assert browser.state() == ("Sample 1 of 3, 0 rated.", "a")


def test_a_key_rates_and_goes_on_and_arrows_go_back():
    browser = Browser()
    browser.do("write('Ada B.')", "press('2')", "press('3')")
    assert browser.state() == ("Sample 3 of 3, 2 rated.", "c")
    browser.do("press('ArrowLeft')", "press('ArrowLeft')")
    assert browser.state()[1] == "a"
    assert browser.engine.eval("keys[1].set['aria-pressed']") == "true"
    browser.do("press('4')", "press('x')", "press('toString')", "press('1', {ctrlKey: true})")
    name, found = browser.downloaded()
    assert name == "ratings_Ada_B_.json"
    assert found == {
        "format": "lavis_sam ratings 1",
        "samples": "0" * 64,
        "rater": "Ada B.",
        "ratings": [{"id": "a", "images": False, "text": False}, {"id": "b", "images": True, "text": False}],
    }


def test_keys_in_the_name_are_no_ratings():
    browser = Browser()
    browser.do("write('Ada')", "document.on.keydown({key: '1', target: named.rater})")
    assert browser.state() == ("Sample 1 of 3, 0 rated.", "a")


def test_a_second_visit_goes_on_with_the_same_raters_ratings():
    first = Browser()
    first.do("write('Ada')", "press('1')")
    again = Browser(stored=first.stored())
    again.do("write('Ada')")
    assert again.state() == ("Sample 2 of 3, 1 rated.", "b")
    again.do("write('Ben')")
    assert again.state() == ("Sample 1 of 3, 0 rated.", "a")


def test_what_is_stored_for_another_page_is_left_out():
    key = "lavis_sam ratings " + "0" * 64 + " Ada"
    browser = Browser(stored={key: json.dumps({"a": "constructor", "zz": "1", "b": "2"})})
    browser.do("write('Ada')")
    assert browser.state() == ("Sample 1 of 3, 1 rated.", "a")
    damaged = Browser(stored={key: "{"})
    damaged.do("write('Ada')")
    assert damaged.state() == ("Sample 1 of 3, 0 rated.", "a")


def test_a_browser_that_keeps_nothing_still_gives_the_ratings():
    browser = Browser(stored="broken")
    browser.do("write('Ada')", "keys[0].on.click()")
    assert "keeps nothing" in browser.engine.eval("named.kept.textContent")
    assert len(browser.downloaded()[1]["ratings"]) == 1


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
    import base64
    import hashlib

    shown = page()
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'; img-src data:" in shown
    assert shown.count("<script") == 1
    assert "http:" not in shown
    assert "https:" not in shown


def test_what_the_page_gives_is_what_the_ratings_reader_wants(page, finished, tmp_path):
    shown = page()
    browser = Browser(ids(shown), samples=re.search(r"<span id=samples>(\w+)<", shown)[1])
    browser.do("write('Ada')", "press('1')", "press('2')")
    (tmp_path / "ratings.json").write_text(json.dumps(browser.downloaded()[1]))
    (found,) = read_ratings([tmp_path / "ratings.json"], samples_digest(finished), ids(shown))
    assert [good["images"] for good in found.good.values()] == [True, False]


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
