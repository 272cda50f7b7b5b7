"""The HTML pages that commands write, as a browser shows them: whole, without a script, at the width of a phone too."""

import pytest
from playwright.sync_api import expect

from helpers.browser import DESKTOP, PHONE, browser, missing_images, opened, overflow
from helpers.command_line import REPOSITORY
from helpers.synthesis import config
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.page import write_report
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner

pytestmark = pytest.mark.integration
__all__ = ["browser"]


@pytest.fixture(scope="module")
def synthesis_report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    synthesize(SynthesisSettings.from_config(config()), folder / "set", num=6, seed=1, runner=SerialRunner())
    write_report(folder / "set", folder / "report.html")
    return folder / "report.html"


def check(page, images):
    assert page.locator("img").count() >= images
    assert missing_images(page) == []
    assert overflow(page) <= 0
    assert page.locator("script").count() == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_synthesis_report_is_whole_at_any_width(browser, synthesis_report, size):
    with opened(browser, synthesis_report.as_uri(), size) as page:
        expect(page.get_by_role("heading", name="6 samples: set")).to_be_visible()
        expect(page.get_by_role("heading", name="Funnel")).to_be_visible()
        check(page, images=12)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_preview_of_a_data_set_is_whole_at_any_width(run, browser, tmp_path, size):
    out = tmp_path / "preview.html"
    code, _, err = run("data", "preview", REPOSITORY / "lavis_sam/assets/photographs", "--out", out)
    assert code == 0, err
    with opened(browser, out.as_uri(), size) as page:
        check(page, images=8)


def test_a_page_that_wants_something_from_elsewhere_is_found_out(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="https://example.org/image.png" alt="gone"><script>missing()</script>')
    with pytest.raises(AssertionError) as found, opened(browser, page.as_uri()) as shown:
        assert missing_images(shown) == ["gone"]
    assert "wants https://example.org/image.png" in str(found.value)
    assert "missing is not defined" in str(found.value)
