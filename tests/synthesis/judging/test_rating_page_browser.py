"""The page to rate on in a browser: keys, what it remembers, and the file that it gives."""

import json
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from helpers.browser import PHONE, browser, missing_images, opened, overflow
from helpers.ratings import samples_digest
from lavis_sam.synthesis.judging.rating_page import write_rating_page
from lavis_sam.synthesis.judging.ratings import read_ratings

pytestmark = pytest.mark.integration
__all__ = ["browser"]
NUM = 3


@pytest.fixture(scope="module")
def visit(browser, finished, tmp_path_factory):
    """Open the page; with a name, as that rater."""
    path = tmp_path_factory.mktemp("rate") / "rate.html"
    write_rating_page(finished, path, num=NUM, seed=0)

    @contextmanager
    def visiting(name="", **options):
        with opened(browser, path.as_uri(), **options) as page:
            write(page, name)
            yield page

    return visiting


def write(page, name):
    page.locator("#rater").fill(name)
    page.locator("#rater").press("Tab")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def state(page):
    return page.locator("#state").inner_text()


def shown(page):
    return [item.get_attribute("data-id") for item in page.locator(".item").all() if item.is_visible()]


def ids(page):
    return [item.get_attribute("data-id") for item in page.locator(".item").all()]


def downloaded(page):
    with page.expect_download() as download:
        page.locator("#download").click()
    return download.value


def test_nothing_is_shown_or_rated_before_there_is_a_name(visit):
    with visit() as page:
        press(page, "1")
        assert state(page) == "Write your name first."
        assert shown(page) == []
        expect(page.locator("#download")).to_be_disabled()
        page.locator("#rater").fill("1234")
        assert state(page) == "Write your name first.", "digits of a name rate nothing"
        write(page, "Ada")
        assert state(page) == "Sample 1 of 3, 0 rated."
        assert shown(page) == ids(page)[:1]


def test_a_key_rates_and_goes_on_and_the_file_is_what_its_reader_wants(visit, finished, tmp_path):
    with visit("Ada B.") as page:
        press(page, "2", "3")
        assert state(page) == "Sample 3 of 3, 2 rated."
        press(page, "ArrowLeft", "ArrowLeft", "ArrowLeft")
        assert shown(page) == ids(page)[:1]
        assert page.locator("[aria-pressed=true]").get_attribute("data-key") == "2"
        press(page, "4", "x", "0", "Control+1")
        file = downloaded(page)
        assert file.suggested_filename == "ratings_Ada_B_.json"
        file.save_as(tmp_path / "ratings.json")
        first, second = ids(page)[:2]
    (found,) = read_ratings([tmp_path / "ratings.json"], samples_digest(finished), [first, second])
    assert found.rater == "Ada B."
    assert {name: (good["images"], good["text"]) for name, good in found.good.items()} == {
        first: (False, False), second: (True, False)
    }  # fmt: skip


def test_a_second_visit_goes_on_with_the_same_raters_ratings(visit):
    with visit("Ada") as page:
        press(page, "1")
        page.reload()
        write(page, "Ada")
        assert state(page) == "Sample 2 of 3, 1 rated."
        write(page, "Ben")
        assert state(page) == "Sample 1 of 3, 0 rated."


@pytest.mark.parametrize("stored", ['{"ID": "constructor", "elsewhere": "1"}', "{", "null"])
def test_what_the_browser_holds_of_another_page_is_left_out(visit, finished, stored):
    with visit() as page:
        key = f"lavis_sam ratings {samples_digest(finished)} Ada"
        page.evaluate("([key, value]) => localStorage.setItem(key, value)", [key, stored.replace("ID", ids(page)[0])])
        write(page, "Ada")
        assert state(page) == "Sample 1 of 3, 0 rated."


def test_a_browser_that_keeps_nothing_still_gives_the_ratings(visit):
    with visit("Ada") as page:
        page.evaluate("void (Storage.prototype.setItem = () => { throw new Error('full'); })")
        page.locator(".verdict").first.click()
        expect(page.locator("#kept")).to_contain_text("keeps nothing")
        assert len(json.loads(downloaded(page).path().read_text())["ratings"]) == 1


def add_a_script(visit):
    with visit("Ada") as page:
        page.evaluate(
            "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; "
            "document.body.append(s); }"
        )
        assert page.evaluate("window.ran") is None


def test_no_other_script_runs(visit):
    with pytest.raises(AssertionError, match="Content Security Policy"):
        add_a_script(visit)


def test_the_page_is_whole_on_a_phone(visit):
    with visit("Ada", size=PHONE) as page:
        assert missing_images(page) == []
        assert overflow(page) <= 0
