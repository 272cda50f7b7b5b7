"""Instructions by task: enough of them, written apart, and drawn by the sample's id alone."""

import subprocess
import sys
from collections import Counter

import pytest

from lavis_sam.datasets.catalogue import CATALOGUE
from lavis_sam.datasets.prompts import Prompts, prompt_sets, tasks
from lavis_sam.errors import SamConfigurationError


def test_every_format_has_prompts_and_every_prompt_a_format():
    assert {kind.task for kind in CATALOGUE.values()} == set(tasks())


@pytest.mark.parametrize("task", tasks())
def test_about_ten_phrasings_each(task):
    for name, phrasings in prompt_sets(task).items():
        assert len(set(phrasings)) == len(phrasings) >= (10 if name == "default" else 1)
        for phrase in phrasings:
            assert phrase == phrase.strip()
            assert phrase[-1] in ".?!"
            assert "{image#" not in phrase
            assert phrase.replace("{number}", "five").count("{") == 0


def test_published_prompts():
    groups = Prompts("group_captioning", "published")
    assert groups.draw(1, 5) == "Sum up the common factor in these five pictures in a single statement."
    wanted = (
        "With the narratives paired with the initial images, how would you conclude the story using the last picture?"
    )
    assert Prompts("storytelling", "published").draw("0035", 3) == wanted


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(
        SamConfigurationError, match=r"change_captioning: unknown prompt_set 'published'.*Valid: default"
    ):
        Prompts("change_captioning", "published")
    with pytest.raises(SamConfigurationError, match=r"unknown task 'story'.*storytelling"):
        Prompts("story")


def test_the_draw_uses_all_phrasings_about_equally():
    prompts = Prompts("change_captioning")
    drawn = Counter(prompts.draw(identity, 2) for identity in range(5000))
    assert set(drawn) == set(prompts.phrasings)
    assert 400 < min(drawn.values()) <= max(drawn.values()) < 600


def test_the_draw_is_the_same_in_every_process():
    code = (
        "from lavis_sam.datasets.prompts import Prompts; "
        "prompts = Prompts('storytelling'); "
        "print([prompts.draw(i, 5) for i in range(30)])"
    )
    written = {subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}) for seed in "12"}
    prompts = Prompts("storytelling")
    assert written == {f"{[prompts.draw(str(i), 5) for i in range(30)]}\n".encode()}


def test_numbers_become_words():
    prompts = Prompts("group_captioning", "published")
    assert "these two pictures" in prompts.draw("x", 2)
    assert "these ten pictures" in prompts.draw("x", 10)
    assert "these 11 pictures" in prompts.draw("x", 11)
