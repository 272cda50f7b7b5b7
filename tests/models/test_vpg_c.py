"""VPG-C against an oracle that follows its description image by image, and in every place where the model is used."""

from dataclasses import replace

import pytest
import torch

from helpers.models import SIZES, random_batch, sample_of, small_model
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import enable_gradient_checkpointing
from lavis_sam.models.language.sequence import IGNORED
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.models.trainable import select_trainable
from lavis_sam.models.visual_path import guided_visual_path
from lavis_sam.models.vpg_c import ConditionedLanguageModel, VpgC, keep_features, language_layers
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.injection import inject, wanted_injections

DEEP = replace(SIZES, language=replace(SIZES.language, layers=4))
BEAMS = Decoding(num_beams=3, max_length=9, repetition_penalty=1.0)


def conditioned(*, zero=False, layer=None, instruction=True, **guidance):
    model = small_model(sizes=DEEP, **{"extractor": "none", **guidance})
    inject(model, {"vpg_c": {"layer": layer, "instruction": instruction}})
    select_trainable(model, "vpg_c", further=model.injected)
    if not zero:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            for parameter in model.vpg_c.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def oracle_losses(model, batch):
    """Per-sample losses with plain loops: one sample and one image at a time, a hook where the layer begins."""
    vpg, bert = model.vpg_c, model.Qformer.bert
    losses = []
    for b in range(len(batch["text_input"])):
        sample = sample_of(batch, b)
        visual = model.encode(sample, sample["text_input"])
        inputs = model.language_inputs(visual, sample["text_input"], sample["text_output"])
        end = next(t for t, label in enumerate(inputs.labels[0].tolist()) if label != IGNORED) - 1
        ids = model.tokenizer(sample["text_input"], return_tensors="pt").input_ids

        def read_again(layer, arguments, sample=sample, end=end, ids=ids):
            hidden = arguments[0].clone()
            queries = vpg.queries[0] + vpg.linear_in.weight @ arguments[0][0, end] + vpg.linear_in.bias
            q = queries.shape[0]
            for image in range(sample["image"].shape[2]):
                features = model.ln_vision(model.visual_encoder(sample["image"][:, :, image]))
                given = ids if vpg.instruction else ids[:, :0]
                stream = bert.embeddings(queries[None], given)
                for block in bert.encoder.layer:
                    stream = block(stream, None, features, None, q, False)
                added = stream[0, :q] @ vpg.linear_out.weight.T + vpg.linear_out.bias
                hidden[0, image * q : (image + 1) * q] += added
            return (hidden, *arguments[1:])

        hook = language_layers(model.llm_model)[vpg.layer - 1].register_forward_pre_hook(read_again)
        try:
            output = model.llm_model(
                inputs_embeds=inputs.inputs_embeds,
                attention_mask=inputs.attention_mask,
                position_ids=inputs.position_ids,
                labels=inputs.labels,
            )
        finally:
            hook.remove()
        losses.append(output.loss)
    return torch.stack(losses)


@pytest.mark.parametrize("instruction", [True, False])
@pytest.mark.parametrize("layer", [None, 1, 4])
def test_losses_and_gradients_are_the_oracles(layer, instruction):
    model, batch = conditioned(layer=layer, instruction=instruction), random_batch([2, 1, 3])
    trained = {name: p for name, p in model.named_parameters() if name.startswith(("vpg_c.", "llm_proj."))}
    wanted = oracle_losses(model, batch)
    found = model(batch)["per_sample_loss"]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    weights = torch.tensor([1.0, -2.0, 0.5])
    found_gradients = torch.autograd.grad((found * weights).sum(), list(trained.values()))
    wanted_gradients = torch.autograd.grad((wanted * weights).sum(), list(trained.values()))
    for name, one, other in zip(trained, found_gradients, wanted_gradients, strict=True):
        assert other.abs().sum() > 0, name
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)


def test_the_published_layer_is_the_first_of_the_upper_half():
    assert conditioned().vpg_c.layer == 3  # of 4; 17 of Vicuna's 32


def test_it_starts_as_the_base_and_then_differs():
    batch = random_batch([2, 3])
    base = small_model(sizes=DEEP, extractor="none")
    untrained, trained = conditioned(zero=True), conditioned()
    assert torch.equal(untrained(batch)["per_sample_loss"], base(batch)["per_sample_loss"])
    assert untrained.generate(batch, num_beams=2, max_length=8) == base.generate(batch, num_beams=2, max_length=8)
    assert not torch.allclose(trained(batch)["per_sample_loss"], base(batch)["per_sample_loss"], atol=1e-3)


def test_queries_start_as_the_q_formers_own():
    model = conditioned(zero=True)
    assert torch.equal(model.vpg_c.queries, model.query_tokens)
    assert model.vpg_c.queries.data_ptr() != model.query_tokens.data_ptr()


@pytest.mark.parametrize("guidance", [{}, {"extractor": "w_former"}])
def test_a_sample_does_not_depend_on_its_batch(guidance):
    model, batch = conditioned(**guidance), random_batch([3, 1, 2, 2])
    together = model(batch)["per_sample_loss"]
    visual = model.encode(batch, batch["text_input"])
    texts = model.generate_from(visual, batch["text_input"], BEAMS)
    for b in range(4):
        sample = sample_of(batch, b)
        torch.testing.assert_close(model(sample)["per_sample_loss"][0], together[b], rtol=1e-4, atol=1e-5)
        alone = model.generate_from(model.encode(sample, sample["text_input"]), sample["text_input"], BEAMS)
        assert alone.texts == [texts.texts[b]]
        picked = visual.select([b])
        assert model.generate_from(picked, [batch["text_input"][b]], BEAMS).texts == [texts.texts[b]]


def test_a_batch_of_single_images_in_four_dimensions_is_read_again():
    model, batch = conditioned(), random_batch([1, 1])
    flat = {**batch, "image": batch["image"][:, :, 0]}
    del flat["image_mask"]
    torch.testing.assert_close(model(flat)["per_sample_loss"], model(batch)["per_sample_loss"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("guidance", [{}, {"extractor": "w_former"}])
@pytest.mark.parametrize("rows", [[2, 0], slice(1, None), torch.tensor([1, 1, 0])])
def test_what_is_kept_of_a_batch_is_the_inner_paths_and_follows_its_samples(guidance, rows):
    model, batch = conditioned(**guidance), random_batch([3, 1, 2])
    visual = model.encode(batch, batch["text_input"])
    inner = guided_visual_path(model, batch, batch["text_input"])
    samples = torch.arange(3)[rows].tolist()
    picked = visual.select(rows)
    for name in ("features", "extracted"):
        assert torch.equal(getattr(visual, name), getattr(inner, name)), name
        by_sample = getattr(inner, name).split([3, 1, 2])
        assert torch.equal(getattr(picked, name), torch.cat([by_sample[sample] for sample in samples])), name
        twice = torch.cat([by_sample[sample] for sample in samples for _ in "12"])
        assert torch.equal(getattr(picked.repeat(2), name), twice), name


def test_a_repeated_sample_gives_its_loss_again():
    model, batch = conditioned(), random_batch([2, 3])
    visual = model.encode(batch, batch["text_input"])
    again = model.loss(visual.repeat(2), [t for t in batch["text_input"] for _ in "12"], ["a chair", "a dog"] * 2)
    first = model.loss(visual, batch["text_input"], ["a chair", "a chair"])
    torch.testing.assert_close(again.per_sample_loss[[0, 2]], first.per_sample_loss, rtol=1e-5, atol=1e-6)


def test_generation_reads_the_images_again_once_a_sample_whatever_the_beams(monkeypatch):
    model, batch, calls = conditioned(), random_batch([2, 3]), []
    extract = VpgC.extract
    monkeypatch.setattr(VpgC, "extract", lambda *given: (calls.append(len(given[3])), extract(*given))[1])
    model.generate(batch, num_beams=4, max_length=7)
    assert calls == [2]


def test_a_streamed_text_is_the_generated_one():
    model, batch = conditioned(), random_batch([3])
    greedy = Decoding(num_beams=1, max_length=9)
    visual = model.encode(batch, batch["text_input"])
    wanted = model.generate_from(visual, batch["text_input"], greedy).texts
    assert ["".join(model.stream(batch, greedy))] == wanted


def test_gradient_checkpointing_changes_nothing():
    batch, found = random_batch([2, 3]), []
    for checkpointing in (False, True):
        model = conditioned()
        if checkpointing:
            enable_gradient_checkpointing(model.llm_model)
        loss = model.train()(batch)["loss"]
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.vpg_c.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_training_lowers_the_loss_and_touches_nothing_frozen():
    model, batch = conditioned(zero=True), random_batch([2, 3])
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(6):
        loss = model.train()(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    trained = ("linear_in.weight", "linear_in.bias", "linear_out.weight", "linear_out.bias", "queries")
    assert moved == {"llm_proj.weight", "llm_proj.bias", *(f"vpg_c.{name}" for name in trained)}


def test_layers_keep_their_names_and_class_names():
    plain, changed = small_model(sizes=DEEP, extractor="none"), conditioned()
    names = set(changed.state_dict()) - set(plain.state_dict())
    assert names == {f"vpg_c.{name}" for name in dict(changed.vpg_c.named_parameters())}
    for one, other in zip(language_layers(plain.llm_model), language_layers(changed.llm_model), strict=True):
        assert type(one).__name__ == type(other).__name__


def test_a_failed_pass_leaves_no_change_behind():
    model = conditioned()
    layer = language_layers(model.llm_model)[model.vpg_c.layer - 1]

    def fail(hidden):
        raise ZeroDivisionError

    inputs = {"inputs_embeds": torch.ones(1, 4, 20)}
    plain = model.llm_model(**inputs).logits
    failing = ConditionedLanguageModel(model.llm_model, layer, fail)
    with pytest.raises(ZeroDivisionError):
        failing.hidden(torch.ones(1, 4, 20), torch.ones(1, 4, dtype=torch.long), torch.arange(4)[None])
    assert torch.equal(model.llm_model(**inputs).logits, plain)


def test_the_real_model_has_cheetahs_number_of_parameters():
    cfg = {"trainable": "vpg_c", "guidance": {"extractor": "none"}, "sizes": {}}
    model = build_model({**cfg, "sizes": {"vision": {"depth": 1}, "q_former": {"layers": 2}}}, device="meta")
    counts = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert ModelSizes.from_mapping(None).language.width == 4096
    assert sum(count for name, count in counts.items() if name.startswith("vpg_c.")) == 6_320_896
    assert {name for name in counts if not name.startswith("vpg_c.")} == {"llm_proj.weight", "llm_proj.bias"}
    assert model.vpg_c.layer == 17


def test_the_preset_implies_the_module_and_options_may_be_given():
    assert wanted_injections({"trainable": "vpg_c"}) == {"vpg_c": {}}
    assert wanted_injections({"trainable": "vpg_c", "inject": {"vpg_c": {"layer": 2}}}) == {"vpg_c": {"layer": 2}}
    assert wanted_injections({"trainable": "sam", "inject": None}) == {}


@pytest.mark.parametrize("layer", [0, 5, True, "half"])
def test_a_layer_that_does_not_exist_is_refused(layer):
    with pytest.raises(SamConfigurationError, match=r"vpg_c\.layer is .*choose one of 1 to 4, or null"):
        conditioned(layer=layer)


def test_an_instruction_that_is_no_truth_value_is_refused():
    with pytest.raises(SamConfigurationError, match=r"vpg_c\.instruction is 'no'; wanted true or false"):
        conditioned(instruction="no")


def test_a_visual_path_without_features_is_refused():
    model, batch = conditioned(), random_batch([2])
    visual = model.encode(batch, batch["text_input"])
    bare = type(visual).__mro__[1](visual.tokens, visual.token_mask)
    with pytest.raises(SamConfigurationError, match="gave a VisualPath without patch features"):
        model.loss(bare, batch["text_input"], batch["text_output"])
    with pytest.raises(SamConfigurationError, match="a VisualPath holds none"):
        keep_features(lambda *given: bare)(model, batch, batch["text_input"])
    with pytest.raises(SamConfigurationError, match="without a list of layers"):
        language_layers(torch.nn.Linear(2, 2))
