"""Efficient by construction: how often the frozen parts are called, on how many rows, and where a graph exists."""

import pytest
import torch

from helpers.models import SIZES, random_batch, small_model

COUNTS = [4, 1, 3]
TOTAL = sum(COUNTS)


def count_rows(module, rows):
    return module.register_forward_hook(lambda module, args, output: rows.append(len(args[0])))


@pytest.fixture
def counted():
    """Run one visual path and return the rows of each call, per part."""

    def run(batch, **guidance):
        model = small_model(**guidance)
        layers = model.Qformer.bert.encoder.layer
        calls = {"vision": [], **{number: [] for number in range(1, len(layers) + 1)}}
        count_rows(model.visual_encoder, calls["vision"])
        for number, layer in enumerate(layers, start=1):
            count_rows(layer, calls[number])
        model.encode(batch, batch["text_input"])
        return calls

    return run


def test_one_call_of_the_vit_and_no_padded_row(counted):
    assert counted(random_batch(COUNTS))["vision"] == [TOTAL]


def test_the_shared_w_stream_runs_once_per_sample(counted):
    calls = counted(random_batch(COUNTS))  # l = k = 4, the last layer
    for number in (1, 2, 3):
        assert sorted(calls[number]) == [len(COUNTS), TOTAL], "W once a sample, Q once an image"
    assert calls[4] == [TOTAL, TOTAL]


def test_contexts_of_their_own_run_once_per_image(counted):
    calls = counted(random_batch(COUNTS), context="others")
    assert all(calls[number] == [TOTAL, TOTAL] for number in range(1, 5))


def test_the_w_stream_stops_at_layer_k(counted):
    calls = counted(random_batch(COUNTS), layer_l=2, layer_k=2)
    assert sorted(calls[1]) == [len(COUNTS), TOTAL]
    assert calls[2] == [TOTAL, TOTAL]
    assert calls[3] == calls[4] == [TOTAL]


@pytest.mark.parametrize("extractor", ["none", "linear"])
def test_without_w_former_there_is_no_w_stream(counted, extractor):
    calls = counted(random_batch(COUNTS), extractor=extractor)
    assert all(calls[number] == [TOTAL] for number in range(1, 5))


def test_no_graph_below_the_first_interaction():
    model = small_model(layer_l=2, layer_k=3)
    has_graph = {number: [] for number in range(1, SIZES.q_former.layers + 1)}
    for number, layer in enumerate(model.Qformer.bert.encoder.layer, start=1):
        layer.register_forward_hook(
            lambda module, args, output, number=number: has_graph[number].append((len(output), output.requires_grad))
        )
    batch = random_batch(COUNTS)
    model.encode(batch, batch["text_input"])
    q_stream = {number: calls[-1] for number, calls in has_graph.items()}
    assert q_stream[2] == (TOTAL, False), "the Q stream below layer k depends on nothing trainable"
    assert q_stream[3] == (TOTAL, True)
    assert (len(COUNTS), True) in has_graph[1], "the W stream depends on Linear_a from layer 1 on"


def test_nothing_trainable_below_the_w_stream_means_no_graph_there():
    model = small_model(weighting="average", layer_l=3, layer_k=4)
    graphs = []
    model.Qformer.bert.encoder.layer[0].register_forward_hook(
        lambda module, args, output: graphs.append(output.requires_grad)
    )
    batch = random_batch(COUNTS)
    model.encode(batch, batch["text_input"])
    assert graphs == [False, False]


def test_logits_exist_at_target_positions_only():
    model = small_model()
    rows = []
    model.llm_model.lm_head.register_forward_hook(lambda module, args, output: rows.append(args[0].numel()))
    result = model(random_batch(COUNTS))
    assert rows == [int(result["target_tokens"].sum()) * SIZES.language.width]


def test_frozen_parts_stay_in_eval_mode():
    model = small_model().train()
    assert model.training
    assert model.w_former.training
    for part in (model.visual_encoder, model.ln_vision, model.Qformer, model.llm_model):
        assert not any(module.training for module in part.modules())


def test_two_passes_in_train_mode_agree_bit_for_bit():
    model, batch = small_model().train(), random_batch(COUNTS)
    with torch.no_grad():
        assert torch.equal(model(batch)["loss"], model(batch)["loss"])
