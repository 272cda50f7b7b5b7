"""Diversity, on images and texts whose figures are known."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lavis_sam.datasets.folder import open_samples
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.judging import diversity as module
from lavis_sam.synthesis.judging.diversity import diversity


def image(seed, dot=False):
    """Coarse noise; `dot` changes a small place of it."""
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    pixels = np.kron(cells, np.ones((8, 8, 1), np.uint8))
    if dot:
        pixels[:2, :2] = 0
    return Image.fromarray(pixels)


def sample(name, *, images=2, instruction="What is it?", output="a red dog"):
    return MultiImageSample(name, ("x.png",) * images, instruction, output, (output,), "test")


def measure(samples, images, **options):
    return diversity("set", samples, lambda number: images[number], Path("/nowhere"), **options)


def test_contexts_tell_one_place_with_a_change_from_two_places():
    images = [[image(1), image(1, dot=True)], [image(2), image(3)], [image(4), image(5), image(4, dot=True)]]
    found = measure([sample("a"), sample("b"), sample("c", images=3)], images)["contexts"]
    assert found["samples"] == 3
    assert found["distinct"] == pytest.approx(1 / 3), "a third image like the first spoils a sample"
    assert sum(found["bits"].values()) == 3
    assert min(found["bits"]) < 5
    assert max(found["bits"]) > 16


def test_near_duplicates_repeat_all_images_of_an_earlier_sample_of_as_many():
    images = [[image(1), image(2)], [image(2), image(1, dot=True)], [image(1), image(3)], [image(1)], [image(1)]]
    names = [sample("a"), sample("b"), sample("c"), sample("d", images=1), sample("e", images=1)]
    found = measure(names, images)["near_duplicates"]
    assert found["samples"] == 2
    assert {(pair["id"], pair["like"]) for pair in found["nearest"][:2]} == {("e", "d"), ("b", "a")}
    assert found["nearest"][0]["bits"] == 0
    assert found["nearest"][2]["bits"] > 16


def test_single_images_have_no_contexts():
    found = measure([sample("a", images=1)], [[image(1)]])
    assert found["contexts"] == {"samples": 0, "median_bits": None, "distinct": None, "bits": {}}
    assert found["images_per_sample"] == {1: 1}


def test_vocabulary_is_counted_whatever_the_case():
    texts = ["A red dog.", "a red DOG!", "It's a naïve cat"]
    found = measure([sample(str(n), output=text) for n, text in enumerate(texts)], [[image(n)] * 2 for n in range(3)])
    answers = found["answers"]
    assert (answers["different"], answers["words"], answers["different_words"]) == (3, 10, 6)
    assert answers["different_pairs_of_words"] == 5
    assert answers["type_token_ratio"] is None, "too few words for a piece of 500"
    assert answers["median_words"] == 3
    assert found["instructions"]["most_common"] == {"What is it?": 3}


def test_type_token_ratio_does_not_grow_or_fall_with_the_set():
    def ratio(copies):
        output = " ".join(f"word{number % 50}" for number in range(500))
        return module._texts([output] * copies)["type_token_ratio"]

    assert ratio(1) == ratio(7) == pytest.approx(0.1)


def test_images_that_cannot_be_read_are_counted_and_named():
    def images(number):
        if number == 1:
            raise SamDataError("sample 'b': b.png is damaged")
        return [image(number), image(number + 10)]

    found = diversity("set", [sample("a"), sample("b"), sample("c")], images, Path("/nowhere"))
    assert (found["samples"], found["compared"]) == (3, 2)
    assert found["unreadable"] == ["sample 'b': b.png is damaged"]


def test_some_samples_are_drawn_and_always_the_same():
    seen = []

    def images(number):
        seen.append(number)
        return [image(number), image(number + 100)]

    samples = [sample(str(number)) for number in range(20)]
    found = diversity("set", samples, images, Path("/nowhere"), 5)
    assert found["compared"] == 5
    assert found["answers"]["words"] == 60, "texts are all counted"
    diversity("set", samples, images, Path("/nowhere"), 5)
    assert seen[:5] == seen[5:] == sorted(set(seen))


def test_records_of_a_synthesis_give_hashes_attributes_scenes_and_positions(finished):
    stored = open_samples(finished)
    found = diversity("set", stored.annotation, None, finished)
    assert found["compared"] == 14, "no image was opened"
    synthesis = found["synthesis"]
    assert set(synthesis["scenes"]) <= {"meadow", "harbour", "tunnel", "desert"}
    assert sum(synthesis["attributes"]["characters: colour"].values()) > 0
    assert np.array(synthesis["positions"]["characters"]).shape == (16, 16)
    assert synthesis["backends"]["segment"] == "not white 1"
    opened = diversity("set", stored.annotation, stored.images, Path("/nowhere"))
    assert opened["synthesis"] is None
    # JPEG changes a bit of a hash here and there.
    assert opened["contexts"]["median_bits"] == pytest.approx(found["contexts"]["median_bits"], abs=3)


@pytest.mark.parametrize("change", [{"pictures": [{"hash": "no hash"}]}, {"objects": []}, {"pictures": 3}])
def test_strange_records_are_one_clear_error(finished, tmp_path, change):
    shutil.copytree(finished, tmp_path / "set")
    line = json.loads((finished / "samples.jsonl").read_text().splitlines()[0])
    (tmp_path / "set" / "samples.jsonl").write_text(json.dumps({**line, **change}) + "\n")
    with pytest.raises(SamDataError, match="not what `lavis-sam synthesize` writes"):
        diversity("set", [sample("a")], None, tmp_path / "set")
