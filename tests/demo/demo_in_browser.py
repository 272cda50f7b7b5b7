"""`lavis-sam demo` in Chromium, as a visitor meets it; run by `make test-demo`.

Not collected by default: gradio lives in an environment of its own.
"""

import base64
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from playwright.sync_api import expect

from helpers.browser import PHONE, browser, missing_images, opened, overflow
from helpers.documentation import blocks
from helpers.serving import png
from lavis_sam.demo.examples import load_examples
from lavis_sam.demo.page import _MEANINGS, _Page
from lavis_sam.predictor import SamPredictor
from lavis_sam.predictor.exporting import export_model
from lavis_sam.predictor.load_model import load_model
from lavis_sam.serving.limits import Limits

__all__ = ["browser"]
SHOTS = os.environ.get("LAVIS_SAM_SCREENSHOTS")
# Written where Python starts: what the server would ask of other machines is refused, and noted.
OFFLINE = """
import os, socket
def guard(connect):
    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            with open(os.environ["LAVIS_SAM_TEST_CALLS"], "a") as file: file.write(f"{address}\\n")
            raise OSError("there is no network here")
        return connect(self, address)
    return guarded
socket.socket.connect = guard(socket.socket.connect)
socket.socket.connect_ex = guard(socket.socket.connect_ex)
"""


@pytest.fixture(scope="module")
def model():
    return load_model("tiny", device="cpu")


def commands():
    """The options of the page's two demos, the embedded model in the place of the large one."""
    (block,) = [block for block in blocks("docs/demo.md") if block.marker == "demo"]
    return [shlex.split(line.replace("vicuna7b", "tiny"))[1:] for line in block.lines]


def test_the_demo_of_the_page_starts_without_options(tmp_path):
    first, _ = commands()
    words = [sys.executable, "-m", "lavis_sam.cli", *first, "--device", "cpu", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert process.stdout.readline().startswith("the page is at http://127.0.0.1:")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def page_url(model, tmp_path_factory):
    """The address of a demo of the trained tiny model, which has no network."""
    folder = tmp_path_factory.mktemp("demo")
    export_model(model, folder / "my_adapter", "adapter", source="tiny")
    (folder / "sitecustomize.py").write_text(OFFLINE)
    calls = folder / "calls.txt"
    environment = {**os.environ, "PYTHONPATH": str(folder), "LAVIS_SAM_TEST_CALLS": str(calls)}
    words = [*commands()[1], "--device", "cpu", "--port", "0"]  # of two ports the last counts
    command = [sys.executable, "-m", "lavis_sam.cli", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder)
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"the page is at (http://127\.0\.0\.1:\d+/) .*\n", line)
        assert found, line
        yield found[1]
        process.terminate()
        assert process.wait(60) == 0
        assert not calls.exists(), calls.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def shoot(page, name):
    """Keep what a person should look at, where somebody wants that."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def order(page):
    return page.locator(".image-list li span").all_inner_texts()


def upload(page, *names):
    files = [{"name": name, "mimeType": "image/png", "buffer": png(seed)} for seed, name in enumerate(names)]
    page.get_by_label("Choose images").set_input_files(files)
    expect(page.locator(".image-list li")).to_have_count(len(names))


def answer_of(page, label):
    return page.get_by_label(label, exact=True).input_value()


def ask(page):
    page.get_by_role("button", name="Ask").click()


def test_requirements_of_gradio_are_met_by_the_pinned_packages():
    unmet, seen, left = [], set(), ["gradio"]
    while left:
        name = left.pop()
        for text in importlib.metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker and not needed.marker.evaluate({"extra": ""}):
                continue
            if not needed.specifier.contains(importlib.metadata.version(needed.name), prereleases=True):
                unmet.append(f"{name} needs {needed}")
            if needed.name not in seen:
                seen.add(needed.name)
                left.append(needed.name)
    assert not unmet


@pytest.mark.parametrize(
    ("settings", "said", "switches"),
    [
        ({"finetuned": ""}, "untrained", {"context", "normalise", "weighting", "positions", "layer_l", "layer_k"}),
        ({"guidance": {"extractor": "none"}}, "no guidance", set()),
    ],
)
def test_a_page_of_a_model_that_nothing_guides_says_so(settings, said, switches):
    page = _Page(load_model("tiny", device="cpu", settings=settings), Limits()).build()
    parts = [part["props"] for part in page.get_config_file()["components"]]
    assert any(said in str(part.get("value")) for part in parts)
    assert {part.get("label") for part in parts} & set(_MEANINGS) == switches


def test_an_example_is_answered_with_and_without_guidance_and_explained(browser, page_url, model):
    example = load_examples()[0]
    with opened(browser, page_url) as page:
        page.get_by_role("button", name=example.title).click()
        expect(page.locator(".image-list li")).to_have_count(5)
        expect(page.get_by_label("Question")).to_have_value(example.question)
        ask(page)
        expect(page.locator("#heat-maps figure")).to_have_count(5 + 5 * 4)
        guided, unguided = answer_of(page, "With guidance"), answer_of(page, "Without guidance")
        images = [base64.b64decode(entry["url"].partition(",")[2]) for entry in example.images]
        assert guided == SamPredictor(model).caption(images, example.question, num_beams=1, max_length=65)
        assert guided != unguided
        assert missing_images(page) == []
        shoot(page, "desktop")


def test_images_are_put_in_order_by_drag_buttons_and_keys(browser, page_url):
    with opened(browser, page_url) as page:
        upload(page, "a.png", "b.png", "c.png")
        assert order(page) == ["1 · a.png", "2 · b.png", "3 · c.png"]
        tiles = page.locator(".image-list li")
        tiles.nth(2).drag_to(tiles.nth(0))
        assert order(page) == ["1 · c.png", "2 · a.png", "3 · b.png"]
        page.get_by_role("button", name="Move image 1 later").click()
        assert order(page) == ["1 · a.png", "2 · c.png", "3 · b.png"]
        expect(page.get_by_role("button", name="Move image 2 later")).to_be_focused()
        page.keyboard.press("Enter")  # the same image again: the focus went along
        assert order(page) == ["1 · a.png", "2 · b.png", "3 · c.png"]
        tiles.nth(0).focus()
        page.keyboard.press("ArrowRight")
        assert order(page) == ["1 · b.png", "2 · a.png", "3 · c.png"]
        expect(tiles.nth(1)).to_be_focused()
        expect(page.locator(".image-list [role=status]")).to_have_text("a.png is now image 2 of 3.")
        page.keyboard.press("Delete")
        assert order(page) == ["1 · b.png", "2 · c.png"]


def test_a_whole_question_is_asked_by_keyboard_alone(browser, page_url, model):
    with opened(browser, page_url) as page:
        upload(page, "a.png", "b.png")
        page.get_by_label("Question").focus()
        page.keyboard.type("What is it?")
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == "Ask":
                break
        page.keyboard.press("Enter")
        expect(page.locator("#heat-maps figure")).to_have_count(4)
        wanted = SamPredictor(model).caption([png(0), png(1)], "What is it?", num_beams=1, max_length=65)
        assert answer_of(page, "With guidance") == wanted


def test_switches_change_the_answer_and_off_leaves_the_other_answer_out(browser, page_url):
    with opened(browser, page_url) as page:
        page.get_by_role("button", name="How does the story end?").click()
        expect(page.locator(".image-list li")).to_have_count(3)
        page.get_by_label("Show which patches guided").uncheck()
        ask(page)
        expect(page.get_by_label("Without guidance", exact=True)).not_to_have_value("")
        expect(page.get_by_role("button", name="Ask")).to_be_enabled()
        page.wait_for_function("document.querySelector('#guided .generating') === null")
        before = answer_of(page, "With guidance")
        page.get_by_label("Compare with guidance off").uncheck()
        page.get_by_text("Switches of the guidance, and the answer's length").click()
        page.get_by_label("self", exact=True).check()
        ask(page)
        expect(page.get_by_label("Without guidance", exact=True)).to_have_value("")
        page.wait_for_function(f"document.querySelector('#guided textarea').value !== {before!r}")
        shoot(page, "switches")


def test_a_bad_image_and_no_image_are_messages_and_the_next_question_is_answered(browser, page_url):
    with opened(browser, page_url) as page:
        ask(page)
        expect(page.get_by_text("There is no image yet")).to_be_visible()
        bad = {"name": "notes<b>.txt", "mimeType": "text/plain", "buffer": b"no image at all"}
        good = {"name": "good.png", "mimeType": "image/png", "buffer": png(1)}
        page.get_by_label("Choose images").set_input_files([good, bad])
        expect(page.locator(".image-list li.broken")).to_have_count(1)
        ask(page)
        expect(page.get_by_text("Image 2 (notes<b>.txt): found no readable image")).to_be_visible()
        shoot(page, "bad_image")
        page.get_by_role("button", name="Take image 2 out").click()
        ask(page)
        expect(page.get_by_text("There is one image, so that no other one guides it.")).to_be_visible(timeout=120_000)
        assert answer_of(page, "With guidance")


def test_a_phone_shows_everything_without_scrolling_sideways(browser, page_url):
    with opened(browser, page_url, PHONE, has_touch=True, is_mobile=True) as page:
        page.get_by_role("button", name="What has changed?").tap()
        expect(page.locator(".image-list li")).to_have_count(2)
        page.get_by_role("button", name="Move image 2 earlier").tap()
        assert order(page) == ["1 · changes_2.jpg", "2 · changes_1.jpg"]
        page.get_by_role("button", name="Ask").tap()
        expect(page.locator("#heat-maps figure")).to_have_count(4)
        assert overflow(page) <= 0
        page.get_by_text("What the model can and cannot do").tap()
        expect(page.get_by_text("An answer may be wrong")).to_be_visible()
        assert page.get_by_role("link", name="paper").get_attribute("href") == "https://arxiv.org/abs/2408.12867"
        shoot(page, "phone")
