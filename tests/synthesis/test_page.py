"""The page about a data set."""

import base64
import json
import re
import shutil

import pytest
from PIL import Image

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
    assert "http:" not in page
    assert "https:" not in page, "the page needs nothing from elsewhere"
    assert "default-src 'none'" in page


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


@pytest.fixture
def strange(root, tmp_path):
    """Give a copy of the set, and a function that changes its manifest."""
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)

    def change(**values):
        manifest = json.loads((copy / "manifest.json").read_text()) | values
        (copy / "manifest.json").write_text(json.dumps(manifest))
        return copy

    return change


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", None, {"a": 1}])
@pytest.mark.parametrize("key", ["accepted", "tries", "stages", "kinds", "run"])
def test_a_strangers_manifest_is_one_clear_error_and_never_markup(strange, tmp_path, key, value):
    with pytest.raises(SamDataError, match=r"manifest\.json.*not what `lavis-sam synthesize` writes"):
        write_report(strange(**{key: value}), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_images_outside_the_data_set_are_not_shown(strange, root, tmp_path):
    copy = strange()
    inside = next((copy / "images").rglob("*.jpg"))
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(inside.read_bytes())
    shutil.rmtree(copy / "rejected")
    (copy / "link.jpg").symlink_to(outside)
    lines = (copy / "samples.jsonl").read_text().splitlines()
    for file in (str(outside), "../outside.jpg", "link.jpg"):
        records = [json.loads(line) for line in lines]
        for record in records:
            for image in record["pictures"]:
                image["file"] = file
        (copy / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        write_report(copy, tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text()
        assert "base64" not in page
        assert "an image outside the data set is not shown" in page


@pytest.mark.parametrize("line", ["{", "[" * 100_000])
def test_a_damaged_line_of_samples_is_named(strange, tmp_path, line):
    copy = strange()
    with (copy / "samples.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(SamDataError, match=r"samples\.jsonl:\d+: not JSON"):
        write_report(copy, tmp_path / "page.html")


def a_bomb(path):
    """A PNG of 20,000 x 20,000 pixels in 50 KB."""
    Image.new("1", (20_000, 20_000)).save(path, "PNG")


@pytest.mark.parametrize(
    "write", [lambda path: path.write_bytes(b"no image"), lambda path: path.write_bytes(b""), a_bomb]
)
def test_an_image_that_cannot_be_read_is_one_clear_error(strange, tmp_path, write):
    copy = strange()
    write(next((copy / "images").rglob("*_1.jpg")))
    with pytest.raises(SamDataError, match=r"_1\.jpg"):
        write_report(copy, tmp_path / "page.html")


@pytest.mark.parametrize("count", [float("inf"), float("nan")])
def test_an_impossible_count_is_one_clear_error(strange, tmp_path, count):
    with pytest.raises(SamDataError, match="not what `lavis-sam synthesize` writes"):
        write_report(strange(stages={"plan": {"entered": 1, "passed": count}}), tmp_path / "page.html")


@pytest.mark.parametrize("change", [{"output": "\ud800"}, {"scores": {"mask.area": [10**400]}}], ids=["half", "huge"])
def test_what_no_page_can_show_is_one_clear_error(strange, tmp_path, change):
    copy = strange()
    records = [json.loads(line) for line in (copy / "samples.jsonl").read_text().splitlines()]
    (copy / "samples.jsonl").write_text("".join(json.dumps({**one, **change}) + "\n" for one in records))
    with pytest.raises(SamDataError, match="not what `lavis-sam synthesize` writes"):
        write_report(copy, tmp_path / "page.html")
