"""What an answer depends on: any change shows, and says where."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.fingerprint import differences, samples_fingerprint, weights_fingerprint

SAMPLE = MultiImageSample("a", ("one.png", "two.png"), "What?", "A dog", ("A dog",), "here")


def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40))
    net[0].requires_grad_(False)
    return net


def test_the_same_weights_have_the_same_fingerprint():
    assert weights_fingerprint(model()) == weights_fingerprint(model())
    assert len(weights_fingerprint(model())) == 64


def test_every_trained_number_counts():
    changed = model()
    changed[1].weight.data[3, 5] += 1e-6
    assert weights_fingerprint(changed) != weights_fingerprint(model())


def test_another_frozen_matrix_shows():
    changed = model()
    changed[0].weight.data += 1e-3
    assert weights_fingerprint(changed) != weights_fingerprint(model())


@pytest.mark.parametrize("change", [lambda m: m.half(), lambda m: nn.Sequential(m), lambda m: m.to("meta")])
def test_precision_names_and_lost_storage_show(change):
    assert weights_fingerprint(change(model())) != weights_fingerprint(model())


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"images": ("two.png", "one.png")},
        {"instruction": "What"},
        {"output": "A cat"},
        {"references": ("A dog", "A cat")},
    ],
)
def test_every_part_of_a_sample_counts(change):
    assert samples_fingerprint([SAMPLE]) != samples_fingerprint([replace(SAMPLE, **change)])
    assert samples_fingerprint([SAMPLE]) == samples_fingerprint([replace(SAMPLE, source="elsewhere")])


def test_images_of_another_size_are_other_data(tmp_path):
    for name in SAMPLE.images:
        (tmp_path / name).write_bytes(b"x")
    before = samples_fingerprint([SAMPLE], str(tmp_path))
    (tmp_path / "two.png").write_bytes(b"xy")
    assert samples_fingerprint([SAMPLE], str(tmp_path)) != before
    (tmp_path / "two.png").unlink()
    assert samples_fingerprint([SAMPLE], str(tmp_path)) != before


def test_differences_name_both_sides():
    then = {"weights": "aa", "decoding": {"num_beams": 5, "top_p": 0.9}, "data": "x", "gone": 1}
    now = {"weights": "aa", "decoding": {"num_beams": 1, "top_p": 0.9}, "data": "y", "new": None}
    assert differences(then, now) == [
        "decoding.num_beams: then 5, now 1",
        'data: then "x", now "y"',
        "gone: then 1, now null",
    ]
    assert differences(then, then) == []


def test_long_values_are_cut():
    (text,) = differences({"a": "x" * 500}, {"a": "y"})
    assert len(text) < 130
