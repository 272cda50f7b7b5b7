"""`make demo`: what it prints, and its page in a browser."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.browser import DESKTOP, PHONE, browser, missing_images, opened, overflow  # noqa: F401

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder in which it ran, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "demo.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder, done.stdout.splitlines()


def test_the_last_line_is_the_page(demo):
    folder, lines = demo
    assert lines[-1] == str((folder / "output" / "demo" / "index.html").resolve())
    assert any(line.startswith("With SAM") for line in lines)


def test_loss_falls_and_answers_are_sentences(demo):
    said = json.loads((demo[0] / "output" / "demo" / "answers.json").read_text(encoding="utf-8"))
    assert sum(said["losses"][-6:]) / 6 < said["losses"][0]
    for name in ("pairs", "groups", "stories"):
        for answer in said[name]:
            for text in (answer["base"], answer["sam"]):
                assert text[:1].isupper()
                assert text.endswith(".")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_its_page_shows_every_image(demo, browser, size):  # noqa: F811
    page_file = demo[0] / "output" / "demo" / "index.html"
    with opened(browser, page_file.as_uri(), size) as page:
        assert page.locator("figure").count() >= 14
        assert page.get_by_text("With SAM").count() >= 12
        assert missing_images(page) == []
        assert overflow(page) == 0
