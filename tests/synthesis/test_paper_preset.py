"""The preset of the paper on real code: tiny random weights in their real layouts, and a chat service on loopback."""

import json

import pytest

from helpers import synthesis_models
from helpers.endpoint_server import running, said
from helpers.synthesis import config, folder_digest
from helpers.synthesis_runs import Killed, die_at_rename, make
from helpers.vision_language import write_instructblip
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.synthesis.backends import captioning
from lavis_sam.synthesis.configuration import read_config

NUM = 20
PLACES = ("Walking on a street", "In a dark train station", "Standing on a bridge", "At home", "Beside a lake")
# Options for weights of a toy's size.
SMALL = {
    "segment": {"points_per_side": 2},
    "inpaint": {"steps": 2},
    "describe": {"num_beams": 1, "max_length": 8},
}


def answer(body):
    """A place by the question's length; a smoother answer that says what the plain one says."""
    prompt = body["messages"][0]["content"]
    if prompt.endswith("Background:"):
        return said(PLACES[len(prompt) % len(PLACES)])
    plain = prompt.rsplit("Answer: ", 1)[1].removesuffix("\nRewritten:")
    return said(f"In short: {plain}")


@pytest.fixture(scope="module")
def service():
    with running() as found:
        found.otherwise = answer
        yield found


@pytest.fixture(scope="module")
def plain(tmp_path_factory, service):
    """The preset with folders in the places of the hub's names; random weights meet no threshold of quality."""
    root = tmp_path_factory.mktemp("paper")
    models = {
        "segment": synthesis_models.write_segment_anything(root / "sam"),
        "inpaint": synthesis_models.write_stable_diffusion(root / "sd"),
        "describe": write_instructblip(root / "instructblip"),
        "score": synthesis_models.write_clip(root / "clip"),
    }
    preset = read_config("mmlink_paper")
    for job, model in models.items():
        preset["stages"][job] |= {"model": str(model), "device": "cpu", **SMALL.get(job, {})}
    for job in ("background", "refine"):
        preset["stages"][job] |= {"url": service.url, "cache": str(root / "answers")}
    return {
        **preset,
        "sources": config()["sources"],
        "pictures": {"size": 64},
        "quality": {"duplicates.distance": {"min": 0}},
        "run": {"part_size": 4, "shard_size": 8, "attempts": 8},
    }


@pytest.fixture(scope="module")
def whole(plain, tmp_path_factory):
    """A run without interruption."""
    root = tmp_path_factory.mktemp("whole") / "set"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captioning, "_MOST_FOREIGN", 1.0)  # random weights write bytes
        make(root, plain, num=NUM)
    return root


@pytest.mark.integration
def test_the_preset_fills_the_record_of_every_stage(whole):
    samples = [json.loads(line) for line in (whole / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == NUM
    assert len(read_annotations(whole / "annotations.json", whole)) == NUM
    scenes = [sample for sample in samples if sample["kind"] in ("characters", "furniture")]
    assert scenes
    for sample in scenes:
        assert {"mask.predicted_iou", "mask.stability", "subject.difference"} <= set(sample["scores"])
        assert {"semantic.object_similarity", "semantic.background_similarity"} <= set(sample["scores"])
        assert {image["background"]["text"] for image in sample["pictures"]} <= set(PLACES)
    assert all(sample["objects"][0]["description"] for sample in samples)
    assert any(sample["output"].startswith("In short: ") for sample in samples)
    assert samples[0]["backends"]["background"] == "chat gpt-3.5-turbo 1"


@pytest.mark.integration
def test_the_preset_killed_and_resumed_gives_the_same_bytes_and_pays_nothing_twice(
    whole, plain, service, tmp_path, monkeypatch
):
    monkeypatch.setattr(captioning, "_MOST_FOREIGN", 1.0)
    paid = len(service.requests)
    for number in (9, 21):
        with monkeypatch.context() as patch:
            die_at_rename(patch, number)
            with pytest.raises(Killed):
                make(tmp_path / "set", plain, num=NUM, resume=True)
    make(tmp_path / "set", plain, num=NUM, resume=True)
    assert folder_digest(tmp_path / "set") == folder_digest(whole)
    assert len(service.requests) == paid
