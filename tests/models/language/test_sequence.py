from functools import partial

import pytest
import torch

from helpers.language import released_case, released_tokenizer
from helpers.toy_llm import toy_llm, toy_visual_tokens
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.language.language_model import enable_gradient_checkpointing
from lavis_sam.models.language.sequence import target_loss, training_inputs

# Measured: 0 and 1.9e-6 for the loss, 8.5e-6 and 4.3e-6 for logits whose largest is 25.
LOSS_TOLERANCE = 1e-5
LOGITS_TOLERANCE = 5e-5
INSTRUCTIONS = ["how many dogs ?", "what do the images have in common ? describe it .", ""]
TARGETS = ["there are 3 dogs and 1 cat in the house .", "a red car .", "cat"]


@pytest.fixture
def tokenizer():
    return released_tokenizer()


@pytest.fixture
def ragged():
    """Three samples of three images with two tokens each; the padded image stands last, first and in the middle."""
    images = torch.tensor([[True, True, False], [False, True, True], [True, False, True]])
    return toy_visual_tokens(0, 3, 6), images.repeat_interleave(2, dim=1)


def lay_out(llm_model, tokenizer, visual, texts=INSTRUCTIONS, targets=TARGETS, max_txt_len=128, max_output_txt_len=256):
    return training_inputs(
        llm_model,
        tokenizer,
        *visual,
        texts,
        targets,
        max_txt_len=max_txt_len,
        max_output_txt_len=max_output_txt_len,
    )


def naive_loss(llm_model, inputs):
    """The loss by transformers itself, from logits at every position."""
    return llm_model(
        inputs_embeds=inputs.inputs_embeds,
        attention_mask=inputs.attention_mask,
        position_ids=inputs.position_ids,
        labels=inputs.labels,
    ).loss


@pytest.fixture(params=[False, True], ids=["padded", "packed"])
def loss_of(request):
    """`target_loss`, of a padded batch and of samples that share rows."""
    return partial(target_loss, packing=request.param)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["A", "B"])
class TestReleasedCode:
    def inputs(self, case, tokenizer):
        return lay_out(case.llm_model, tokenizer, case.batch, case.meta["text_input"], case.meta["text_output"])

    def test_inputs(self, name, tokenizer):
        case = released_case(name)
        inputs = self.inputs(case, tokenizer)
        width = inputs.labels.shape[1]  # the released code keeps columns that are padding in every row
        released_mask = case.arrays["out.llm_full_attention_mask"]
        assert not released_mask[:, width:].any()
        assert torch.equal(inputs.attention_mask, released_mask[:, :width])
        assert torch.equal(inputs.labels, case.arrays["in.labels"][:, :width])
        real = inputs.attention_mask.bool()
        difference = (inputs.inputs_embeds - case.arrays["out.inputs_embeds"][:, :width])[real]
        assert difference.abs().max() == 0
        counted = torch.arange(width).expand_as(real)
        assert torch.equal(inputs.position_ids[real], counted[real])

    def test_loss_and_logits(self, name, tokenizer, loss_of):
        case = released_case(name)
        result = loss_of(case.llm_model, self.inputs(case, tokenizer))
        is_target = case.arrays["in.labels"][:, 1:] != -100
        assert torch.equal(result.target_ids, case.arrays["in.labels"][:, 1:][is_target])
        assert (result.loss - case.arrays["out.loss"]).abs() <= LOSS_TOLERANCE
        assert (result.logits - case.arrays["out.logits"][:, :-1][is_target]).abs().max() <= LOGITS_TOLERANCE


class TestTargetLoss:
    def test_equals_the_loss_over_all_logits(self, tokenizer, ragged, loss_of):
        llm_model = toy_llm()
        inputs = lay_out(llm_model, tokenizer, ragged)
        torch.testing.assert_close(loss_of(llm_model, inputs).loss, naive_loss(llm_model, inputs))

    def test_gradient_equals_the_naive_one(self, tokenizer, ragged, loss_of):
        llm_model, (tokens, mask) = toy_llm(), ragged
        gradients = []
        for loss in (lambda inputs: loss_of(llm_model, inputs).loss, lambda inputs: naive_loss(llm_model, inputs)):
            tokens = ragged[0].clone().requires_grad_()
            loss(lay_out(llm_model, tokenizer, (tokens, mask))).backward()
            gradients.append(tokens.grad)
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)
        assert gradients[0][mask].abs().amax(dim=1).min() > 0
        assert gradients[0][~mask].abs().max() == 0
        assert all(parameter.grad is None for parameter in llm_model.parameters())

    def test_per_sample_losses_and_counts(self, tokenizer, ragged, loss_of):
        llm_model = toy_llm()
        result = loss_of(llm_model, lay_out(llm_model, tokenizer, ragged))
        wanted = [len(tokenizer.encode(text, append_eos=True)) - 1 for text in TARGETS]
        assert result.target_tokens.tolist() == wanted
        assert result.target_ids.tolist() == [id for t in TARGETS for id in tokenizer.encode(t, append_eos=True)[1:]]
        whole = (result.per_sample_loss * result.target_tokens).sum() / result.target_tokens.sum()
        torch.testing.assert_close(whole, result.loss)
        # The mean over tokens is not the mean over samples: the counts differ.
        assert (result.per_sample_loss.mean() - result.loss).abs() > 1e-3

    @pytest.mark.parametrize("sample", [0, 1, 2])
    def test_a_sample_has_the_same_loss_alone(self, tokenizer, ragged, loss_of, sample):
        llm_model, (tokens, mask) = toy_llm(), ragged
        together = loss_of(llm_model, lay_out(llm_model, tokenizer, ragged)).per_sample_loss[sample]
        own = tokens[sample : sample + 1, mask[sample]]
        alone = lay_out(
            llm_model,
            tokenizer,
            (own, torch.ones(own.shape[:2], dtype=torch.bool)),
            INSTRUCTIONS[sample : sample + 1],
            TARGETS[sample : sample + 1],
        )
        assert (loss_of(llm_model, alone).loss - together).abs() <= LOSS_TOLERANCE

    def test_what_stands_in_a_padded_image_does_not_matter(self, tokenizer, ragged, loss_of):
        llm_model, (tokens, mask) = toy_llm(), ragged
        spoilt = tokens.masked_fill(~mask.unsqueeze(-1), float("nan"))
        losses = [loss_of(llm_model, lay_out(llm_model, tokenizer, (t, mask))).loss for t in (tokens, spoilt)]
        assert losses[0] == losses[1]

    def test_the_head_sees_target_positions_alone(self, tokenizer, ragged, loss_of):
        llm_model = toy_llm()
        rows = []
        llm_model.lm_head.register_forward_pre_hook(lambda module, args: rows.append(args[0].shape[0]))
        result = loss_of(llm_model, lay_out(llm_model, tokenizer, ragged))
        assert rows == [int(result.target_tokens.sum())]

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_llm_has_a_float32_loss_and_gradient(self, tokenizer, ragged, loss_of, dtype):
        exact, llm_model = toy_llm(spread=0.1), toy_llm(spread=0.1).to(dtype)
        tokens = ragged[0].clone().requires_grad_()
        inputs = lay_out(llm_model, tokenizer, (tokens, ragged[1]))
        result = loss_of(llm_model, inputs)
        assert inputs.inputs_embeds.dtype == dtype
        assert result.loss.dtype == result.logits.dtype == result.per_sample_loss.dtype == torch.float32
        result.loss.backward()
        assert tokens.grad.dtype == torch.float32
        assert tokens.grad.isfinite().all()
        wanted = loss_of(exact, lay_out(exact, tokenizer, ragged)).loss
        assert (result.loss - wanted).abs() <= 0.02 * wanted

    def test_gradient_checkpointing_works_in_eval_mode(self, tokenizer, ragged, loss_of):
        passes, gradients = [], []
        for checkpointing in (False, True):
            llm_model, tokens = toy_llm(), ragged[0].clone().requires_grad_()
            if checkpointing:
                enable_gradient_checkpointing(llm_model)
            count = []
            llm_model.model.layers[0].mlp.register_forward_pre_hook(lambda *args, count=count: count.append(1))
            loss_of(llm_model, lay_out(llm_model, tokenizer, (tokens, ragged[1]))).loss.backward()
            assert not any(module.training for module in llm_model.modules())
            passes.append(len(count))
            gradients.append(tokens.grad)
        assert passes == [1, 2]  # the second pass is the recomputation
        torch.testing.assert_close(*gradients)


class TestTrainingInputs:
    def test_long_texts_are_cut(self, tokenizer, ragged):
        llm_model = toy_llm()
        inputs = lay_out(llm_model, tokenizer, ragged, max_txt_len=6, max_output_txt_len=5)
        prompt = tokenizer.encode(INSTRUCTIONS[1])
        embedding = llm_model.get_input_embeddings()
        start = ragged[0].shape[1]
        assert torch.equal(inputs.inputs_embeds[1, start : start + 6], embedding(torch.tensor([2, *prompt[-5:]])))
        labels = [row[row != -100].tolist() for row in inputs.labels]
        assert labels[0] == tokenizer.encode(TARGETS[0])[1:5]  # the end token is cut away
        assert labels[2] == tokenizer.encode(TARGETS[2], append_eos=True)[1:]

    def test_an_empty_instruction_is_its_start_token(self, tokenizer, ragged):
        inputs = lay_out(toy_llm(), tokenizer, ragged)
        assert inputs.labels[2, ragged[0].shape[1]] == -100
        assert inputs.labels[2, ragged[0].shape[1] + 1] != -100

    def test_an_empty_target_is_its_end_token(self, tokenizer, ragged):
        llm_model = toy_llm()
        result = target_loss(llm_model, lay_out(llm_model, tokenizer, ragged, targets=["", "a", ""]))
        assert result.target_tokens.tolist()[::2] == [1, 1]
        assert result.per_sample_loss.isfinite().all()

    @pytest.mark.parametrize("names", [{"texts": ["one"]}, {"targets": ["one", "two"]}])
    def test_text_counts_must_be_b(self, tokenizer, ragged, names):
        with pytest.raises(SamConfigurationError, match=r"text_(input|output) has \d texts for a batch of 3 samples"):
            lay_out(toy_llm(), tokenizer, ragged, **names)

    def test_the_mask_must_fit(self, tokenizer, ragged):
        with pytest.raises(SamConfigurationError, match=r"\(3, 4\).*\(3, 6\)"):
            lay_out(toy_llm(), tokenizer, (ragged[0], ragged[1][:, :4]))

    @pytest.mark.parametrize(("name", "value"), [("max_txt_len", 0), ("max_output_txt_len", 1)])
    def test_lengths_must_leave_room(self, tokenizer, ragged, name, value):
        with pytest.raises(SamConfigurationError, match=rf"model\.{name} is {value}; it must be at least {value + 1}"):
            lay_out(toy_llm(), tokenizer, ragged, **{name: value})
