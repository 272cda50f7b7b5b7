"""Answers of docs/troubleshooting.md that no other test tries, done as they say."""

import json
import socket

import pytest
import torch
from PIL import Image

from helpers.documentation import unknown_parts
from helpers.models import random_batch, small_model
from lavis_sam.predictor import SamPredictor


def test_tiny_answers_without_a_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    predictor = SamPredictor.from_pretrained("tiny", device="cpu")
    assert predictor.is_trained
    assert isinstance(predictor.caption([Image.new("RGB", (8, 8))] * 2, num_beams=1, max_length=4), str)


@pytest.mark.parametrize(
    "command", ["benchmark", "caption", "demo", "doctor", "evaluate", "explain", "export", "serve", "vlmeval"]
)
def test_a_checkpoint_is_an_option_of_every_command_with_a_model(command):
    assert unknown_parts([command, "--checkpoint", "output/run"]) == []


def test_collect_and_validate_name_a_missing_and_a_damaged_file(run, tmp_path):
    for name in ("damaged", "missing", "whole"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
        (tmp_path / name / "caption.txt").write_text("A square.")
    code, _, error = run("data", "collect", tmp_path, "--instruction", "What?")
    assert code == 0, error
    (tmp_path / "damaged" / "a.png").write_bytes(b"?")
    (tmp_path / "missing" / "a.png").unlink()
    for words, missing in (
        (["validate"], "'missing/a.png': No such file"),
        (["collect", "--instruction", "What?"], "/missing: caption.txt without an image"),
    ):
        code, printed, _ = run("data", words[0], tmp_path, *words[1:], "--json")
        found = json.loads(printed)
        assert (code, found["samples"], found["dropped"]) == (0, 1, 2)
        said = [text for problem in found["problems"] for text in problem["examples"]]
        assert sorted(("damaged/a.png" in text, missing in text) for text in said) == [(False, True), (True, False)]


def test_tokens_of_images_stand_in_the_order_of_the_list():
    model, batch = small_model(), random_batch([3])
    turned = {**batch, "image": batch["image"].flip(2)}
    with torch.no_grad():
        found, other = (model.encode(one, one["text_input"]).tokens[0] for one in (batch, turned))
    images = found.unflatten(0, (3, -1))
    assert not torch.allclose(images[0], images[2], atol=1e-3)
    torch.testing.assert_close(other.unflatten(0, (3, -1)), images.flip(0), rtol=1e-4, atol=1e-5)
