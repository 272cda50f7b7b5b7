"""Labels of patches from masks and attributes: what covers a patch, which words, and damaged files."""

import json

import numpy as np
import pytest

from helpers.pretraining import icon_sample, scene_sample, write_samples
from lavis_sam.datasets.patch_words import read_patch_labels
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.manifest import run_lengths


def words_at(labels, sample, row, column):
    return {
        labels.words[word]
        for patches, words in labels.places[sample]
        if patches.reshape(8, 8)[row, column]
        for word in words
    }


def test_each_patch_has_the_words_of_what_covers_it(tmp_path):
    labels = read_patch_labels(write_samples(tmp_path, [scene_sample(0)]), 8, fewest=1)
    man, chair = {"noun man", "upper blue", "upper shirt", "pose waving"}, {"kind chair", "colour red"}
    assert words_at(labels, "000000", 0, 0) == {"@park", *man}
    assert words_at(labels, "000000", 7, 7) == {"@park", *chair}
    assert words_at(labels, "000000", 0, 7) == {"@park"}
    assert labels.words == tuple(sorted({"@park", *man, *chair}))


def test_words_without_a_meaning_of_their_own_are_left_out(tmp_path):
    sample = scene_sample(0)
    sample["objects"][1]["attributes"]["parts"] = "with a cover and two drawers"
    labels = read_patch_labels(write_samples(tmp_path, [sample]), 8, fewest=1)
    assert {word for word in labels.words if word.startswith("parts ")} == {"parts cover", "parts two", "parts drawers"}


def test_a_patch_needs_more_than_three_tenths(tmp_path):
    sample = icon_sample(0, "duck")
    for right, inside in ((14 + 4, False), (14 + 5, True)):  # 4 and 5 of the second patch's 14 columns
        mask = np.zeros((112, 112), dtype=bool)
        mask[:14, :right] = True
        sample["pictures"][0]["objects"][0]["mask"] = run_lengths(mask)
        labels = read_patch_labels(write_samples(tmp_path, [sample]), 8, fewest=1)
        assert labels.places["000000"][0][0].reshape(8, 8)[0, 1] == inside


def test_rare_words_are_left_out(tmp_path):
    samples = [scene_sample(0, "red"), scene_sample(1, "red"), scene_sample(2, "oak")]
    labels = read_patch_labels(write_samples(tmp_path, samples), 8, fewest=2)
    assert {"colour red", "kind chair"} < set(labels.words)
    assert "colour oak" not in labels.words
    with pytest.raises(SamDataError, match="no word occurs 9 times"):
        read_patch_labels(tmp_path, 8, fewest=9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda sample: sample.pop("pictures"),
        lambda sample: sample["pictures"][0]["objects"][0]["mask"].update(size=[1 << 20, 1 << 20]),
        lambda sample: sample["pictures"][0]["objects"][0].update(object=7),
        lambda sample: sample.update(objects="none"),
    ],
)
def test_a_damaged_record_is_one_clear_error(tmp_path, damage):
    sample = scene_sample(0)
    damage(sample)
    with pytest.raises(SamDataError, match=r"samples.jsonl: a record is damaged"):
        read_patch_labels(write_samples(tmp_path, [sample]), 8, fewest=1)


def test_a_damaged_line_and_a_missing_file_are_named(tmp_path):
    write_samples(tmp_path, [scene_sample(0)])
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write(json.dumps(scene_sample(1))[:40] + "\n")
    with pytest.raises(SamDataError, match=r"samples.jsonl:2"):
        read_patch_labels(tmp_path, 8, fewest=1)
    with pytest.raises(SamDataError, match=r"nowhere"):
        read_patch_labels(tmp_path / "nowhere", 8)
