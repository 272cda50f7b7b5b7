"""The three measures against an oracle of loops over images, for every kind of guidance."""

import numpy as np
import pytest
import torch

from helpers.models import SIZES, random_batch, small_model
from helpers.oracle import OracleQFormer, linear, merged_context, vision
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.explain import explain_sample
from lavis_sam.explain.measures import last_cross_attention

# float32 in another order of operations; values are around 1.
TOLERANCE = {"atol": 2e-4, "rtol": 2e-4}
INSTRUCTION = "What do both images show?"
GUIDANCES = [
    {},
    {"context": "others"},
    {"context": "self"},
    {"normalise": "patches"},
    {"weighting": "average"},
    {"extractor": "linear", "weighting": "average"},
    {"positions": "queries"},
    {"layer_l": 2, "layer_k": 3},
    {"context": "others", "layer_l": 1, "layer_k": 2},
]


def images(count, seed=1):
    return random_batch([count], seed=seed)["image"][0].transpose(0, 1)


class Oracle:
    """c_i of every image from the formulas, one tensor row at a time."""

    def __init__(self, model):
        self.guidance, self.state = model.guidance, model.state_dict()
        heads, layers, frequency = (
            SIZES.q_former.heads,
            SIZES.q_former.layers,
            SIZES.q_former.cross_attention_frequency,
        )
        self.bert = OracleQFormer(self.state, heads=heads, layers=layers, frequency=frequency)
        self.ids = model.tokenizer(INSTRUCTION).input_ids
        self.attention = {}

    def features(self, group):
        size = SIZES.vision
        return [vision(one, self.state, patch=size.patch_size, depth=size.depth, heads=size.heads) for one in group]

    def semantics(self, features, i):
        """c_i, flattened; zeros without a context."""
        guidance, queries = self.guidance, self.bert.queries
        covered = queries if guidance.positions == "queries" else queries + len(self.ids)
        context = merged_context(features, i, self.state, guidance)
        if context is None:
            return torch.zeros(covered * SIZES.q_former.width)
        if guidance.extractor == "linear":
            pooled = linear(context.mean(0, keepdim=True), self.state, "linear_extractor.linear_c")
            return pooled.expand(covered, -1).flatten()
        q = w = self.bert.embed(self.ids)
        for number in range(1, guidance.layer_k + 1):
            if number == guidance.layer_l:
                addition = torch.zeros_like(w)
                addition[:covered] = linear(q, self.state, "w_former.linear_h")[:covered]
                w = w + addition
            self.note_attention(number, w, context, i)
            w = self.bert.layer(number, w, context)
            q = self.bert.layer(number, q, features[i])
        return linear(w, self.state, "w_former.linear_c")[:covered].flatten()

    def note_attention(self, number, w, context, i):
        """What the queries of W look at in layer `number`; the last one stays."""
        if (number - 1) % SIZES.q_former.cross_attention_frequency:
            return
        name = f"Qformer.bert.encoder.layer.{number - 1}"
        w = self.bert.sublayer(w, w, f"{name}.attention")[: self.bert.queries]
        query = linear(w, self.state, f"{name}.crossattention.self.query")
        key = linear(context, self.state, f"{name}.crossattention.self.key")
        size, heads = query.shape[1] // self.bert.heads, self.bert.heads
        parts = [slice(head * size, (head + 1) * size) for head in range(heads)]
        scores = [(query[:, part] @ key[:, part].T / size**0.5).softmax(-1) for part in parts]
        self.attention[i] = sum(scores) / heads


@pytest.mark.parametrize("guidance", GUIDANCES, ids=lambda g: "-".join(map(str, g.values())) or "default")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_measures_equal_the_oracles(guidance, count):
    model = small_model(**guidance)
    group = images(count)
    found = explain_sample(model, group, INSTRUCTION)
    oracle = Oracle(model)
    with torch.no_grad():
        features = oracle.features(group)
    wanted = [oracle.semantics(features, i) for i in range(count)]
    attention = dict(oracle.attention)
    np.testing.assert_allclose(found.semantics_norm, [float(c.norm()) for c in wanted], **TOLERANCE)

    change = np.zeros((count, count))
    for m in range(count):
        rest = [i for i in range(count) if i != m]
        for place, i in enumerate(rest):
            alone = oracle.semantics([features[j] for j in rest], place)
            change[i, m] = float((wanted[i] - alone).norm())
    np.testing.assert_allclose(found.masked_change, change, **TOLERANCE)

    gradient = np.zeros(found.gradient.shape)
    leaves = [feature.clone().requires_grad_() for feature in features]
    for i in range(count):
        norm = oracle.semantics(leaves, i).norm()
        if norm.requires_grad:
            for m, part in enumerate(torch.autograd.grad(norm, leaves, allow_unused=True)):
                gradient[i, m] = 0 if part is None else part.norm(dim=-1).numpy()
    np.testing.assert_allclose(found.gradient, gradient, **TOLERANCE)

    if guidance.get("extractor") == "linear":
        assert found.cross_attention is None
    for i, wanted_attention in attention.items():
        np.testing.assert_allclose(found.cross_attention[i], wanted_attention.numpy(), **TOLERANCE)


@pytest.mark.parametrize("context", ["all", "others"])
@pytest.mark.parametrize("normalise", ["images", "patches"])
def test_adaptive_weights_are_the_softmax_of_the_formula(context, normalise):
    model, group = small_model(context=context, normalise=normalise), images(3)
    found = explain_sample(model, group, INSTRUCTION).adaptive_weights
    features = torch.stack(Oracle(model).features(group))
    scores = linear(features, model.state_dict(), "adaptive_adjustment.linear_a")[..., 0]  # [N, P]
    for i in range(3):
        members = [m for m in range(3) if context == "all" or m != i]
        wanted = scores[members].softmax(0 if normalise == "images" else 1)
        np.testing.assert_allclose(found[i, members], wanted.numpy(), **TOLERANCE)


@pytest.mark.parametrize("guidance", GUIDANCES, ids=lambda g: "-".join(map(str, g.values())) or "default")
def test_a_single_image_has_nothing_to_be_masked(guidance):
    found = explain_sample(small_model(**guidance), images(1), INSTRUCTION)
    assert found.masked_change.tolist() == [[0]]
    assert np.isfinite(found.gradient).all()


def test_the_control_is_guided_by_itself_alone():
    found = explain_sample(small_model(context="self"), images(3), INSTRUCTION)
    assert found.has_guidance
    # Masked and whole batches differ in shape, so rounding is left (1e-6); the gradient below is exactly zero.
    assert found.masked_change.max() < 1e-5
    others = ~np.eye(3, dtype=bool)
    assert not found.gradient[others].any()
    assert found.gradient[~others].all()
    assert (found.adaptive_weights == np.eye(3)[:, :, None]).all()


def test_others_leave_the_image_out_of_its_own_context():
    found = explain_sample(small_model(context="others"), images(3), INSTRUCTION)
    for i in range(3):
        assert not found.adaptive_weights[i, i].any()
    np.testing.assert_allclose(found.adaptive_weights.sum(axis=1), 1, atol=1e-6)
    assert not found.is_cross_attention_shared


def test_the_shared_part_of_the_w_stream_says_so():
    found = explain_sample(small_model(), images(3), INSTRUCTION)
    assert found.cross_attention_layer == 3  # of 4, every second one from the first
    assert found.is_cross_attention_shared
    assert (found.cross_attention == found.cross_attention[:1]).all()
    np.testing.assert_allclose(found.cross_attention.sum(axis=-1), 1, atol=1e-6)
    own = explain_sample(small_model(layer_l=2, layer_k=3), images(3), INSTRUCTION)
    assert not own.is_cross_attention_shared
    assert last_cross_attention(small_model(layer_l=2, layer_k=2)) == 1


def test_untrained_layers_say_so_and_give_no_nan():
    found = explain_sample(small_model(zero=True), images(2), INSTRUCTION)
    assert not found.has_guidance
    assert not found.masked_change.any()
    assert not found.gradient.any()
    assert found.adaptive_weights.shape == (2, 2, 5)


def test_the_model_stays_as_it_is():
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    explain_sample(model, images(2), INSTRUCTION)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.Qformer.modules())
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        name for name, p in small_model().named_parameters() if p.requires_grad
    }


def test_order_of_images_only_reorders_the_measures():
    model, group = small_model(), images(3)
    one = explain_sample(model, group, INSTRUCTION)
    order = [2, 0, 1]
    other = explain_sample(model, group[order], INSTRUCTION)
    np.testing.assert_allclose(other.masked_change, one.masked_change[np.ix_(order, order)], **TOLERANCE)
    np.testing.assert_allclose(other.gradient, one.gradient[np.ix_(order, order)], **TOLERANCE)


def test_small_json_and_arrays():
    found = explain_sample(small_model(), images(2), INSTRUCTION)
    assert set(found.arrays()) == {
        "adaptive_weights",
        "cross_attention",
        "semantics_norm",
        "masked_change",
        "gradient",
    }
    assert np.shape(found.as_dict()["gradient_norm"]) == (2, 2)


def test_nothing_to_explain():
    with pytest.raises(SamConfigurationError, match="no image guides another"):
        explain_sample(small_model(extractor="none"), images(2), INSTRUCTION)
    with pytest.raises(SamDataError, match=r"N of at least 1"):
        explain_sample(small_model(), images(2)[:0], INSTRUCTION)
