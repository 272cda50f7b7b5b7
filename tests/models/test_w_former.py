"""The W-former starts as the zero map, and each image has semantics of its own."""

import pytest
import torch

from helpers.models import random_batch, small_model
from lavis_sam.models.w_former import is_trained

COUNTS = [4, 1, 3]
TOTAL = sum(COUNTS)


@pytest.mark.parametrize("guidance", [{}, {"context": "others"}, {"layer_l": 1, "layer_k": 3}, {"extractor": "linear"}])
def test_zero_initialised_guidance_is_instructblip_bit_for_bit(guidance):
    batch = random_batch([2, 4, 1, 3])
    start, plain = small_model(zero=True, **guidance), small_model(zero=True, extractor="none")
    plain.load_state_dict(start.state_dict(), strict=False)
    with torch.no_grad():
        ours = start.encode(batch, batch["text_input"]).tokens
        theirs = plain.encode(batch, batch["text_input"]).tokens
        assert torch.equal(ours, theirs)
        assert torch.equal(start(batch)["loss"], plain(batch)["loss"])


def test_the_shared_w_stream_runs_once_per_sample(counted):
    calls = counted(random_batch(COUNTS))  # l = k = 4, the last layer
    for number in (1, 2, 3):
        assert sorted(calls[number]) == [len(COUNTS), TOTAL], "W once a sample, Q once an image"
    assert calls[4] == [TOTAL, TOTAL]


def test_the_w_stream_stops_at_layer_k(counted):
    calls = counted(random_batch(COUNTS), layer_l=2, layer_k=2)
    assert sorted(calls[1]) == [len(COUNTS), TOTAL]
    assert calls[2] == [TOTAL, TOTAL]
    assert calls[3] == calls[4] == [TOTAL]


@pytest.mark.parametrize("extractor", ["none", "linear"])
def test_without_w_former_there_is_no_w_stream(counted, extractor):
    calls = counted(random_batch(COUNTS), extractor=extractor)
    assert all(calls[number] == [TOTAL] for number in range(1, 5))


def test_nothing_trainable_below_the_w_stream_means_no_graph_there():
    model = small_model(weighting="average", layer_l=3, layer_k=4)
    graphs = []
    model.Qformer.bert.encoder.layer[0].register_forward_hook(
        lambda module, args, output: graphs.append(output.requires_grad)
    )
    batch = random_batch(COUNTS)
    model.encode(batch, batch["text_input"])
    assert graphs == [False, False]


@pytest.mark.parametrize("extractor", ["w_former", "linear"])
def test_a_model_is_untrained_until_its_layers_add_something(extractor):
    assert is_trained(small_model(zero=True, extractor=extractor)) is False
    assert is_trained(small_model(extractor=extractor)) is True
    assert is_trained(small_model(extractor="none")) is None  # there is nothing to train
