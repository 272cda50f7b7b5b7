"""Questions about several images that were drawn alone: exactly one thing shared, true, the same for a seed."""

import json

import pytest
from PIL import Image

from helpers.pretraining import damaged_samples, icon_sample, scene_sample, write_samples
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.shared_questions import SHARED, VALIDATION, write_shared_questions

ICONS = [("duck", "hat"), ("duck", "cup"), ("cup", "pen"), ("duck", "hat", "pen"), ("hat", "car")]


def asked(root, name=SHARED, num_images=2):
    return json.loads((root / name.format(num_images)).read_text(encoding="utf-8"))


@pytest.fixture
def icons(tmp_path):
    return write_samples(tmp_path / "set", [icon_sample(n, *names) for n, names in enumerate(ICONS)])


def test_two_images_share_what_the_answer_names_and_nothing_else(icons):
    assert write_shared_questions(icons, num_images=2, num=6, validation=0) == (len(asked(icons)), 0)
    assert asked(icons)
    for record in asked(icons):
        one, other = (set(ICONS[int(name[len("images/") :][:6])]) for name in record["img_list"])
        assert len(one & other) == 1
        assert (one & other).pop() in record["output"]
    assert not any({"000000", "000003"} == {n[7:13] for n in r["img_list"]} for r in asked(icons))  # they share two


def test_either_image_can_be_the_first(icons):
    write_shared_questions(icons, num_images=2, num=20, validation=0)
    orders = {tuple(record["img_list"]) for record in asked(icons)}
    assert any((other, one) in orders for one, other in orders)


def test_five_images(tmp_path):
    others = ["cup", "pen", "car", "hat", "key", "owl"]
    root = write_samples(tmp_path, [icon_sample(n, "duck", name) for n, name in enumerate(others)])
    write_shared_questions(root, num_images=5, num=1, validation=0)
    assert asked(root, num_images=5)
    for record in asked(root, num_images=5):
        assert len(set(record["img_list"])) == 5
        assert "duck" in record["output"]


def test_people_are_not_the_same_because_their_words_are(tmp_path):
    root = write_samples(tmp_path, [scene_sample(0, "red"), scene_sample(1, "red"), scene_sample(2, "blue")])
    write_shared_questions(root, num_images=2, num=3, validation=0)
    assert {name[7:13] for record in asked(root) for name in record["img_list"]} == {"000000", "000001"}
    assert all("red chair" in record["output"] for record in asked(root))


def test_a_thing_that_an_image_shows_twice_is_not_asked_for(tmp_path):
    root = write_samples(tmp_path, [icon_sample(0, "duck", "duck"), icon_sample(1, "duck", "hat")])
    assert write_shared_questions(root, num_images=2, num=4, validation=0) == (0, 0)


def test_images_for_validation_are_in_no_other_question(icons):
    write_shared_questions(icons, num_images=2, num=9, validation=0.4)
    images = [{name for record in asked(icons, file) for name in record["img_list"]} for file in (SHARED, VALIDATION)]
    assert all(images)
    assert not images[0] & images[1]


def test_what_another_set_shares_is_no_answer(icons, tmp_path):
    held_out = write_samples(tmp_path / "held_out", [{**icon_sample(0, "hat", "duck"), "form": "pairs"}])
    write_shared_questions(icons, num_images=2, num=20, validation=0, without=[held_out])
    answers = " ".join(record["output"] for record in asked(icons))
    assert "duck" in answers  # it is shown there, but not shared
    assert "hat" not in answers


def test_a_seed_gives_the_same_bytes_and_another_one_others(icons):
    found = []
    for seed in (0, 0, 1):
        write_shared_questions(icons, num_images=2, num=5, seed=seed)
        found.append((icons / "shared_2.json").read_bytes())
    assert found[0] == found[1] != found[2]


def test_the_file_is_read_as_a_data_set(icons):
    count, _ = write_shared_questions(icons, num_images=2, num=5, validation=0)
    (icons / "images").mkdir()
    for number in range(len(ICONS)):
        Image.new("RGB", (112, 112)).save(icons / "images" / f"{number:06d}_1.jpg")
    assert len(read_annotations(icons / "shared_2.json", icons)) == count


@pytest.mark.parametrize("wrong", [{"num_images": 3}, {"num": 0}, {"seed": -1}, {"validation": 1.0}])
def test_impossible_numbers_are_refused(icons, wrong):
    with pytest.raises(SamConfigurationError, match="wanted 2 or 5 images"):
        write_shared_questions(icons, **{"num_images": 2, "num": 1, **wrong})


def test_a_folder_that_is_no_data_set_is_refused(icons, tmp_path):
    with pytest.raises(SamDataError, match=r"missing: no samples\.jsonl"):
        write_shared_questions(icons, num_images=2, num=1, without=[tmp_path / "missing"])


def test_another_data_set_is_refused(tmp_path):
    write_samples(tmp_path, [{**icon_sample(0, "duck"), "form": "pairs"}])
    with pytest.raises(SamDataError, match="wanted captions"):
        write_shared_questions(tmp_path, num_images=2, num=1)


@pytest.mark.parametrize("line", damaged_samples())
def test_a_damaged_line_is_named(tmp_path, line):
    root = write_samples(tmp_path / "set", [scene_sample(0), scene_sample(1), scene_sample(2)])
    whole = write_samples(tmp_path / "whole", [scene_sample(0), scene_sample(1)])
    path = root / "samples.jsonl"
    path.write_bytes(b"\n".join([*path.read_bytes().splitlines()[:2], line]) + b"\n")
    with pytest.raises(SamDataError, match=r"samples\.jsonl:3(: | is not what).*(synthesize|Make the data set again)"):
        write_shared_questions(root, num_images=2, num=4)
    path.write_bytes(b"[]\n")
    with pytest.raises(SamDataError, match=r"samples\.jsonl:1: found a list"):
        write_shared_questions(whole, num_images=2, num=4, without=[root])
    path.write_bytes(b'{"objects": []}\n')
    with pytest.raises(SamDataError, match=r"samples\.jsonl:1 is not what .* writes \(IndexError"):
        write_shared_questions(whole, num_images=2, num=4, without=[root])
