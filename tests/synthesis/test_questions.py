"""More questions about images that are drawn already: true, different, in reading order, the same for a seed."""

import json

import pytest

from helpers.pretraining import damaged_samples, icon_sample, scene_sample, write_samples
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.configuration import SynthesisSettings, read_config
from lavis_sam.synthesis.questions import QUESTIONS, VALIDATION, write_questions
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner


def asked(root, name=QUESTIONS):
    return json.loads((root / name).read_text(encoding="utf-8"))


@pytest.fixture
def scenes(tmp_path):
    return write_samples(tmp_path / "set", [scene_sample(n, c) for n, c in enumerate(["red", "blue", "green", "oak"])])


def test_each_question_is_asked_once_and_answered_truly(scenes):
    assert write_questions(scenes, num=12, validation=0.25) == (len(asked(scenes)), len(asked(scenes, VALIDATION)))
    first = [record for record in asked(scenes) if record["id"].startswith("000000-")]
    assert len({(record["instruction"], record["output"]) for record in first}) == len(first) == 12
    assert [record["id"] for record in first] == [f"000000-{number}" for number in range(12)]
    assert all(record["img_list"] == ["images/000000_1.jpg"] for record in first)
    for record in first:
        question, answer = record["instruction"], record["output"]
        if "colour" in question:
            assert ("red" if "chair" in question else "blue") in answer
        if "left" in question:
            assert "man in a blue shirt" in answer
        if "right" in question:
            assert "red chair" in answer
        if "doing" in question:
            assert "man" in question
            assert "waving" in answer
        if question.startswith(("Is there", "Can you", "Does")):
            assert answer.startswith("Yes") == ("red chair" in question or "man in a blue shirt" in question)
    assert {record["id"][:6] for record in asked(scenes, VALIDATION)} == {"000003"}


def test_absent_things_are_asked_for(scenes):
    write_questions(scenes, num=30, validation=0)
    refused = [record for record in asked(scenes) if record["output"].startswith("No")]
    assert refused == []  # the main objects of all samples are one man
    write_samples(scenes, [icon_sample(0, "duck", "hat"), icon_sample(1, "cup", "hat"), icon_sample(2, "cup", "hat")])
    write_questions(scenes, num=20, validation=0)
    refused = [record for record in asked(scenes) if record["output"].startswith("No")]
    assert refused
    for record in refused:
        assert ("cup" if record["id"].startswith("000000") else "duck") in record["instruction"]


def test_icons_are_listed_line_by_line(tmp_path):
    root = write_samples(tmp_path, [icon_sample(0, "pen", "book", "car", "hat", "cup", "duck")])
    write_questions(root, num=20, validation=0)
    lists = [record["output"] for record in asked(root) if " and " in record["output"]]
    assert lists
    assert all("a duck, a cup, a hat, a car, a book and a pen" in text for text in lists)


def test_some_are_asked_as_if_about_several_images(scenes):
    write_questions(scenes, num=40, validation=0)
    shared = [
        record["output"]
        for record in asked(scenes)
        if record["id"].startswith("000000-")
        and any(word in record["output"] for word in ("both", "Both", "five", "two"))
    ]
    assert shared
    assert all("man in a blue shirt" in text or "red chair" in text for text in shared)


def test_changes_and_stories_lend_their_sentences(scenes):
    write_questions(scenes, num=60, validation=0)
    outputs = {record["output"]: record["instruction"] for record in asked(scenes)}
    assert any(text.endswith((" is gone.", " was added.", " has appeared.")) for text in outputs)
    endings = [text for text in outputs if text.startswith(("Finally,", "In the end,", "At last,"))]
    assert endings
    for text in endings:
        name = text.split(", ")[1].split()[0]
        assert text.endswith(f"{name} is waving in a park.")
        assert f"{name} is standing" in outputs[text] or f"{name}, who is standing" in outputs[text]


def test_the_seed_alone_decides(scenes):
    files = []
    for seed in (0, 0, 1):
        write_questions(scenes, num=5, seed=seed)
        files.append((scenes / QUESTIONS).read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_real_set_gives_questions_that_the_reader_accepts(tmp_path):
    settings = SynthesisSettings.from_config({**read_config("pretraining"), "pictures": {"size": 112}}, "pretraining")
    synthesize(settings, tmp_path / "set", num=8, seed=3, runner=SerialRunner())
    write_questions(tmp_path / "set", num=4, validation=0)
    samples = read_annotations(tmp_path / "set" / QUESTIONS, tmp_path / "set", strict=True)
    assert len(samples) > 16
    texts = " ".join(sample.output for sample in samples)
    assert " by " not in texts  # nobody reads an author's name at this size


@pytest.mark.parametrize("wrong", [{"num": 0}, {"num": 1, "seed": -1}, {"num": 1, "validation": 1.0}])
def test_impossible_numbers_are_refused(scenes, wrong):
    with pytest.raises(SamConfigurationError, match="wanted num of at least 1"):
        write_questions(scenes, **wrong)


def test_another_folder_is_refused(tmp_path, scenes):
    with pytest.raises(SamDataError, match=r"no samples.jsonl; wanted a folder that"):
        write_questions(tmp_path / "nowhere", num=1)
    write_samples(scenes, [{**scene_sample(0), "form": "pairs"}])
    with pytest.raises(SamDataError, match="sample 000000 has the form 'pairs'; wanted captions"):
        write_questions(scenes, num=1)


@pytest.mark.parametrize("line", damaged_samples())
def test_a_damaged_line_is_named(scenes, line):
    path = scenes / "samples.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]) + b"\n")
    for num in (1, 40):
        with pytest.raises(
            SamDataError, match=r"samples\.jsonl:3(: | is not what).*(synthesize|Make the data set again)"
        ):
            write_questions(scenes, num=num)
    assert not (scenes / QUESTIONS).exists()
