"""Birds-to-Words in other forms of its table."""

import pytest

from helpers.release_parts import write_images
from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.errors import SamConfigurationError


def test_birds_to_words_in_latin_1(tmp_path):
    miniature = MINIATURES["birds_to_words"](tmp_path)
    text = miniature.annotations.read_text(encoding="utf-8-sig").replace("“Animal 1”", "Café")
    miniature.annotations.write_bytes(text.encode("latin-1"))
    report = read_dataset("birds_to_words", tmp_path, miniature.images, split="val")
    assert report.samples[0].output == "Café is bigger."
    assert any("latin-1" in what for what in report.repairs)


def test_birds_of_one_observation_are_told_apart(tmp_path):
    """Two photographs of one observation are two pairs; `large.jpg` alone is nobody's image."""
    miniature = MINIATURES["birds_to_words"](tmp_path)
    header, first, *_ = miniature.annotations.read_text(encoding="utf-8-sig").splitlines()
    second = first.replace("photos/502", "photos/777").replace("brown", "blue")
    miniature.annotations.write_text("\n".join([header, first, second]))
    report = read_dataset("birds_to_words", miniature.annotations, miniature.images)
    assert [sample.id for sample in report.samples] == ["1001-1002"]
    write_images(miniature.images, "777.png")
    report = read_dataset("birds_to_words", miniature.annotations, miniature.images)
    assert [(sample.id, sample.images[1]) for sample in report.samples] == [
        ("1001-1002", "502.jpeg"),
        ("1001-1002-2", "777.png"),
    ]


def test_birds_to_words_without_a_header(tmp_path):
    miniature = MINIATURES["birds_to_words"](tmp_path)
    lines = miniature.annotations.read_text(encoding="utf-8-sig").splitlines()
    miniature.annotations.write_text("\n".join(lines[1:]))
    report = read_dataset("birds_to_words", miniature.annotations, miniature.images)
    assert not report.usable
    assert "img1ObservationURL" in report.summary()


def test_birds_to_words_of_one_annotator(tmp_path):
    miniature = MINIATURES["birds_to_words"](tmp_path)
    every, one = (
        read_dataset("birds_to_words", miniature.annotations, miniature.images, options={"annotators": annotators})
        for annotators in ("all", "one")
    )
    assert [sample.id for sample in one.samples] == [sample.id for sample in every.samples]
    assert max(len(sample.references) for sample in every.samples) > 1
    for alone, whole in zip(one.samples, every.samples, strict=True):
        assert alone.references == whole.references[:1] == (alone.output,)
    with pytest.raises(SamConfigurationError, match=r"unknown annotators 'first'.*all, one"):
        read_dataset("birds_to_words", miniature.annotations, miniature.images, options={"annotators": "first"})
