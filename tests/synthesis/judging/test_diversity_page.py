"""The page about diversity."""

from pathlib import Path

import pytest
from PIL import Image

from lavis_sam.datasets.folder import open_samples
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.judging.diversity import diversity
from lavis_sam.synthesis.judging.diversity_page import diversity_page


@pytest.fixture
def ours(finished):
    stored = open_samples(finished)
    numbers = {sample.id: number for number, sample in enumerate(stored.annotation)}
    return diversity("ours", stored.annotation, stored.images, finished), lambda name: stored.images(numbers[name])


def test_a_page_of_a_synthesised_set_has_all_parts(ours):
    found, read = ours
    page = diversity_page([found], {"ours": read})
    for heading in ("Contexts", "Most alike", "Most common instructions"):
        assert f"<h3>{heading}</h3>" in page
    assert "<b>where characters are</b>" in page
    assert "<b>characters: colour</b>" in page
    assert page.count("data:image/jpeg") == 4 * 2 * 2
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_sets_of_others_stand_beside_it_and_their_words_are_escaped(ours):
    samples = [MultiImageSample(f"<{n}>", ("x",), "<b>ask</b>", "say", ("say",), "test") for n in range(2)]
    image = Image.new("RGB", (32, 32))
    other = diversity("<other>", samples, lambda number: [image], Path("/nowhere"))

    def broken(name):
        raise SamDataError(f"{name}: gone")

    page = diversity_page([ours[0], other], {"ours": ours[1], "<other>": broken})
    assert "<h2>&lt;other&gt;</h2>" in page
    assert "<td>&lt;b&gt;ask&lt;/b&gt;" in page
    assert "No sample with two images was compared." in page
    assert "&lt;1&gt;: gone" in page
    for markup in ("<other>", "<b>ask", "<1>"):
        assert markup not in page
