"""Efficient by construction: how often the frozen parts are called, on how many rows, and where a graph exists."""

from helpers.models import SIZES, random_batch, small_model

COUNTS = [4, 1, 3]
TOTAL = sum(COUNTS)


def test_one_call_of_the_vit_and_no_padded_row(counted):
    assert counted(random_batch(COUNTS))["vision"] == [TOTAL]


def test_contexts_of_their_own_run_once_per_image(counted):
    calls = counted(random_batch(COUNTS), context="others")
    assert all(calls[number] == [TOTAL, TOTAL] for number in range(1, 5))


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


def test_logits_exist_at_target_positions_only():
    model = small_model()
    rows = []
    model.llm_model.lm_head.register_forward_hook(lambda module, args, output: rows.append(args[0].numel()))
    result = model(random_batch(COUNTS))
    assert rows == [int(result["target_tokens"].sum()) * SIZES.language.width]
