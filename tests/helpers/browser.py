"""Pages in Chromium, headless, driven by Playwright: opened as a reader opens them, with the problems they have there.

The browser is the system's (Debian: `apt-get install chromium`); Playwright brings none that we use.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

DESKTOP, PHONE = (1280, 900), (390, 844)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LONGEST_MS = 120_000  # the cores may be busy; nothing is measured here
expect.set_options(timeout=_LONGEST_MS)


def chromium() -> str:
    """The program.

    Raises:
        RuntimeError: There is none. A test that cannot look at its page has failed, and is not skipped.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise RuntimeError(f"none of {', '.join(_NAMES)} is on PATH; on Debian: apt-get install chromium.")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a file's tests; between files none, as Playwright keeps an event loop in the main thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium())
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, size: tuple[int, int] = DESKTOP, **options) -> Iterator[Page]:
    """Open an address, and close the page at the end.

    Nothing but this machine can be reached. At the end the page must have had no problem: no error in its console, no
    exception of its scripts, nothing that it wanted from elsewhere.

    Args:
        browser: The fixture's.
        url: A page of a server here, or of a file.
        size: Width and height in CSS pixels.
        options: Further ones of Playwright's `new_context`, such as `has_touch=True`.
    """
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    context.set_default_timeout(_LONGEST_MS)
    problems: list[str] = []

    def guard(route: Route) -> None:
        parts = urlsplit(route.request.url)
        if parts.scheme in ("http", "https") and parts.hostname not in _LOOPBACK:
            problems.append(f"wants {route.request.url}")
            route.abort()
        else:
            route.continue_()

    context.route("**/*", guard)
    page = context.new_page()
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    try:
        page.goto(url)
        yield page
        assert not problems, "\n".join(problems)
    finally:
        context.close()


def overflow(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def missing_images(page: Page) -> list[str]:
    """What the images that the browser could not show are called."""
    return page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => [], () => [i.alt || i.src.slice(0, 80)])))"
        ".then(found => found.flat())"
    )
