"""The page about a data set."""

import base64
import re
import shutil

import pytest

from helpers.synthesis import config
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.page import write_report
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A set with rejections of several kinds, one of them an error with markup in its message."""
    root = tmp_path_factory.mktemp("report") / "my <set>"
    plain = config(
        sources={"characters": {"backend": "helpers.synthesis:FakeShapes", "spoil": "raise", "every": 2}},
        quality={"mask.area": {"min": 0.45}, "composite.visible": {"min": 0.03}},
        run={"attempts": 40},
    )
    synthesize(SynthesisSettings.from_config(plain), root, num=12, seed=1, runner=SerialRunner())
    return root


def test_the_page_shows_everything(root, tmp_path):
    write_report(root, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for heading in ("Funnel", "Accepted", "Rejected", "Scores", "Diversity", "Sources and backends"):
        assert f"<h2>{heading}</h2>" in page
    for kind in ("characters", "furniture", "icons", "covers"):
        assert f"<h3>{kind}</h3>" in page
    assert re.search(r"<h3>mask\.area: \d+</h3>", page)
    assert "wanted at least 0.45" in page
    assert "is broken" in page
    assert "not white 1" in page
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(images) >= 20
    assert all(base64.b64decode(image)[:2] == b"\xff\xd8" for image in images)
    assert "<script" not in page
    assert "http" not in page, "the page needs nothing from elsewhere"


def test_the_most_alike_samples_stand_side_by_side(root, tmp_path):
    write_report(root, tmp_path / "page.html")
    part = (tmp_path / "page.html").read_text().split("<h3>Most alike</h3>")[1].split("<h2>")[0]
    distances = [int(bits) for bits in re.findall(r"(\d+) bits apart", part)]
    assert len(distances) == 4
    assert distances == sorted(distances)
    assert part.count("<img") == 4 * 2 * 2


def test_names_are_escaped(root, tmp_path):
    write_report(root, tmp_path / "page.html")
    assert "my &lt;set&gt;" in (tmp_path / "page.html").read_text()
    assert "my <set>" not in (tmp_path / "page.html").read_text()


def test_images_that_were_deleted_are_left_out(root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    shutil.rmtree(copy / "images")
    shutil.rmtree(copy / "rejected")
    write_report(copy, tmp_path / "page.html")
    assert "base64" not in (tmp_path / "page.html").read_text()


def test_there_has_to_be_a_data_set(tmp_path):
    with pytest.raises(SamDataError, match="wanted a finished data set"):
        write_report(tmp_path, tmp_path / "page.html")
