"""The table of data sets beside the paper's."""

from pathlib import Path

from PIL import Image

from lavis_sam.datasets.folder import open_samples
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.synthesis.judging.diversity import diversity
from lavis_sam.synthesis.judging.sets_table import as_markdown, automation, published_records


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()]


def test_the_papers_numbers_are_its_own_and_nothing_else_is_said_of_its_sets():
    assert rows(as_markdown([]))[2:] == [
        [name, "paper", count, "–", "–", "–", "–", "–"]
        for name, count in [
            ("MmLINK", "69K"), ("Spot-the-Diff", "13K"), ("CLEVR-Change", "79K"), ("ImageCoDe", "21K"), ("VPG-C", "64K")
        ]
    ]  # fmt: skip
    assert published_records()[0] == {"name": "MmLINK", "samples_in_thousands": 69, "source": "paper"}


def test_a_synthesised_set_says_how_it_was_made_and_what_was_measured(finished):
    stored = open_samples(finished)
    found = diversity("ours", stored.annotation, stored.images, finished)
    row = rows(as_markdown([found]))[2]
    assert row[:4] == ["ours", "measured", "14", "2"]
    assert row[4] == automation(found)
    assert row[4].startswith("full: ")
    assert "not white 1" in row[4]
    assert "shapes" not in row[4], "sources are not who makes the samples"
    assert f"{found['contexts']['distinct']:.0%} of samples" in row[5]
    assert "4 scenes" in row[5]
    assert row[6:] == ["0 of 14", str(found["answers"]["different_words"])]


def test_a_set_of_others_has_no_automation_on_record_and_cannot_break_the_table():
    samples = [MultiImageSample(str(n), ("x",) * n, "ask", "say", ("say",), "test") for n in (1, 3)]
    image = Image.new("RGB", (32, 32))
    found = diversity("a|b\nc", samples, lambda number: [image] * len(samples[number].images), Path("/nowhere"))
    text = as_markdown([found])
    assert "| a\\|b c | measured | 2 | 1 to 3 | not recorded | 0% of samples, median 0 bits | 0 of 2 |" in text
