"""DEMON's files in the place of a release: whose instructions their samples have."""

import pytest

from helpers.release_parts import write_images, write_json
from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.datasets.prompts import Prompts
from lavis_sam.errors import SamConfigurationError

CONTEXT = "{image#1}{image#2}Difference:"


@pytest.fixture
def demon(tmp_path):
    """Write a file of two samples, one of them with an instruction that is not there."""
    write_images(tmp_path, "a.jpg", "b.jpg")
    instance = {"context": CONTEXT, "images_path": ["a.jpg", "b.jpg"]}
    data = [
        {"sample_id": f"{chosen}", "task_instruction_id": chosen, "task_instance": instance, "response": "A bird."}
        for chosen in (1, 7)
    ]
    return write_json(tmp_path / "core.json", {"metadata": {"task_instruction": ["Zero.", "One."]}, "data": data})


@pytest.mark.parametrize("prompt_set", ["default", "demon"])
def test_demon_keeps_its_own_instruction(demon, prompt_set):
    report = read_dataset("birds_to_words", demon, demon.parent, split="test", prompt_set=prompt_set)
    assert [(sample.id, sample.instruction) for sample in report.samples] == [("1", "One." + CONTEXT)]
    assert [problem.kind for problem in report.problems] == ["wrong type"]


def test_another_set_takes_the_place_of_demons_instruction(demon):
    report = read_dataset("aesop", demon, demon.parent, prompt_set="published")
    assert [sample.instruction for sample in report.samples] == [
        Prompts("storytelling", "published").draw("1", 2) + CONTEXT
    ]


def test_demon_is_no_set_of_other_releases(tmp_path):
    miniature = MINIATURES["aesop"](tmp_path)
    with pytest.raises(SamConfigurationError, match=r"found 'demon', but .* is no file of DEMON's"):
        read_dataset("aesop", miniature.annotations, miniature.images, prompt_set="demon")


def test_a_file_of_demons_that_is_cut_off(tmp_path, demon):
    demon.write_text(demon.read_text()[:-20])
    report = read_dataset("spot_the_diff", demon, tmp_path)
    assert not report.usable
    assert str(demon) in report.summary()
