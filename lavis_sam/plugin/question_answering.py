"""Question answering and choosing among candidates, as LAVIS's question-answering tasks call them.

Both read prompts the way InstructBLIP's release does, and both keep the guidance on. (The authors' released code turns
it off when it chooses among candidates, although its images are several.)
"""

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.language.sequence import check_length, prompt_ends, target_loss, training_inputs
from lavis_sam.models.language.tokenizers import TextTokenizer
from lavis_sam.models.visual_path import VisualPath

MAX_OCR_TOKENS = 30
# Candidates and prompts are not cut: a candidate without its end would be another one.
UNLIMITED = 1 << 30


class AnswersQuestions:
    """A model's two methods for LAVIS's question-answering tasks; `SemanticAlignment` has them from here."""

    llm_model: Any
    llm_tokenizer: TextTokenizer
    generate: Callable[..., Any]
    encode: Callable[..., VisualPath]
    language: Callable[..., Any]

    def predict_answers(
        self,
        samples: dict[str, Any],
        num_beams: int = 5,
        inference_method: str = "generate",
        max_len: int = 10,
        min_len: int = 1,
        num_ans_candidates: int = 128,
        answer_list: list[str] | None = None,
        prompt: str = "",
        length_penalty: float = 0,
        **further: Any,
    ) -> list[str]:
        """Answer the questions of a batch, as LAVIS's question-answering tasks ask for it.

        Args:
            samples: `image`, optionally `image_mask`; `text_input`, B questions; optionally `ocr_tokens` or `choices`.
            num_beams: Beams of the search.
            inference_method: "generate".
            max_len: As `max_length` of `generate`.
            min_len: As `min_length` of `generate`.
            num_ans_candidates: For LAVIS's other models; not used.
            answer_list: Likewise.
            prompt: Text with one `{}` for the question, or with two: OCR tokens joined by ", " (at most 30) and the
                question, or the question and its choices as `(a) x (b) y`.
            length_penalty: As of `generate`.
            further: What LAVIS's tasks hand to other models; not used.

        Returns:
            B answers.

        Raises:
            SamDataError: The batch lacks images or questions, or they do not fit together.
            SamConfigurationError: An impossible setting.
        """
        if inference_method != "generate":
            raise SamConfigurationError(
                f"inference_method is {inference_method!r}; this model knows 'generate'. To choose from a list of "
                "answers, use predict_class."
            )
        return self.generate(
            {**samples, "prompt": answer_prompts(samples, prompt)},
            num_beams=num_beams,
            max_length=max_len,
            min_length=min_len,
            length_penalty=length_penalty,
        )

    @torch.no_grad()
    def predict_class(
        self, samples: dict[str, Any], candidates: list[str] | list[list[str]], n_segments: int = 1
    ) -> torch.Tensor | list[list[int]]:
        """Rank candidates by their loss, the likeliest first, with guidance on.

        Args:
            samples: `image`, optionally `image_mask`; `prompt`, one or B; optionally `text_input`, `context`, `history`
                and `caption`, see `class_prompts`.
            candidates: C texts for all samples, or a list of B lists, each sample's own.
            n_segments: How many parts the candidates are scored in; more take less memory and change nothing.

        Returns:
            For each sample the candidates' numbers in ascending order of loss, [B, C]; a list of lists where the
            samples have different numbers of candidates.

        Raises:
            SamDataError: The batch lacks images or prompts, a candidate is empty, or a sample is longer than the
                language model reads.
            SamConfigurationError: An impossible n_segments.
        """
        prompts = class_prompts(samples)
        per_sample = _candidates(candidates, len(prompts))
        fewest = min(len(texts) for texts in per_sample)
        if not 1 <= n_segments <= fewest:
            raise SamConfigurationError(f"n_segments is {n_segments}; wanted 1 to the number of candidates, {fewest}.")
        visual = self.encode(samples, prompts)
        tokenizer = self.llm_tokenizer
        longest = [max(len(tokenizer.encode_target(text, append_eos=False)) for text in texts) for texts in per_sample]
        texts_read = [len(tokenizer.encode(prompt)) + most for prompt, most in zip(prompts, longest, strict=True)]
        check_length(self.llm_model, visual.token_mask.sum(dim=1).tolist(), texts_read)
        if isinstance(candidates[0], str):
            losses = candidate_losses(self, visual, prompts, candidates, n_segments)
            return losses.argsort(dim=-1, stable=True)
        ranks = []
        for number, texts in enumerate(per_sample):
            rows = slice(number, number + 1)
            losses = candidate_losses(self, visual.select(rows), prompts[rows], texts, n_segments)
            ranks.append(losses[0].argsort(stable=True))
        return torch.stack(ranks) if len({len(row) for row in ranks}) == 1 else [row.tolist() for row in ranks]


def answer_prompts(samples: Mapping[str, Any], prompt: str) -> list[str]:
    """Return the questions of a batch, put into a prompt.

    Args:
        samples: `text_input`, B questions; for a prompt with two `{}` also `ocr_tokens`, B lists of words (the first 30
            count, and stand before the question), or `choices`, B lists of answers (they stand after it).
        prompt: Text with `{}` where the question goes; with two, see above. Empty: the question alone.

    Raises:
        SamDataError: There are no questions, or a prompt with two `{}` finds neither words nor choices.
        SamConfigurationError: The prompt has no `{}`, or more than two.
    """
    questions = samples.get("text_input")
    questions = [questions] if isinstance(questions, str) else questions
    if not isinstance(questions, Sequence) or not all(isinstance(text, str) for text in questions):
        raise SamDataError(f'samples["text_input"] is {_shown(questions)}; wanted a list of B questions.')
    if not prompt:
        return list(questions)
    places = prompt.count("{}")
    if places == 1:
        return [prompt.replace("{}", question) for question in questions]
    if places != 2:
        raise SamConfigurationError(
            f"the prompt {prompt[:80]!r} has {places} places {{}}; wanted one for the question, or two for words read "
            "in the image and the question, or for the question and its choices."
        )
    if samples.get("ocr_tokens") is not None:
        words = _lists(samples, "ocr_tokens", len(questions))
        pairs = [(", ".join(tokens[:MAX_OCR_TOKENS]), text) for tokens, text in zip(words, questions, strict=True)]
    elif samples.get("choices") is not None:
        choices = _lists(samples, "choices", len(questions))
        pairs = [(text, name_choices(named)) for text, named in zip(questions, choices, strict=True)]
    else:
        raise SamDataError(
            f'the prompt {prompt[:80]!r} has two places {{}}, but the batch has neither "ocr_tokens" nor "choices".'
        )
    before, between, after = prompt.split("{}")
    return [before + first + between + second + after for first, second in pairs]


def name_choices(choices: Sequence[str]) -> str:
    """Return choices as `(a) x (b) y`.

    Raises:
        SamDataError: There are more choices than letters.
    """
    if len(choices) > len(string.ascii_lowercase):
        raise SamDataError(f"{len(choices)} choices; there are letters for {len(string.ascii_lowercase)}.")
    return " ".join(f"({letter}) {text}" for letter, text in zip(string.ascii_lowercase, choices, strict=False))


def candidate_losses(
    model: AnswersQuestions,
    visual: VisualPath,
    prompts: list[str],
    candidates: Sequence[str],
    n_segments: int,
) -> Tensor:
    """Return the sum of the token losses of each candidate after each prompt, [B, C].

    InstructBLIP's release divides this sum by the length of its padded batch, the same for all candidates of a segment:
    the order is the same, but here it cannot depend on `n_segments`. No end token follows a candidate.

    Args:
        model: Its language model and tokenizer are used.
        visual: The visual tokens of B samples.
        prompts: B prompts.
        candidates: C candidates.
        n_segments: How many parts the candidates are scored in, which bounds the memory.
    """
    size, found = len(candidates) // n_segments, []
    bounds = [(part * size, (part + 1) * size) for part in range(n_segments - 1)]
    for first, last in [*bounds, ((n_segments - 1) * size, len(candidates))]:
        count = last - first
        repeated = visual.repeat(count)
        asked = [prompt for prompt in prompts for _ in range(count)]
        inputs = training_inputs(
            model.llm_model,
            model.llm_tokenizer,
            repeated.tokens,
            repeated.token_mask,
            asked,
            list(candidates[first:last]) * len(prompts),
            max_txt_len=UNLIMITED,
            max_output_txt_len=UNLIMITED,
            append_eos=False,
        )
        result = target_loss(model.language(repeated, asked, prompt_ends(inputs)), inputs)
        found.append((result.per_sample_loss * result.target_tokens).view(len(prompts), count))
    return torch.cat(found, dim=1)


def class_prompts(samples: Mapping[str, Any]) -> list[str]:
    """Return the prompts of a batch with everything that the samples bring: question, context, history and caption.

    Args:
        samples: `image`, whose first dimension is B; `prompt`, one for all or B; optionally `text_input`, B texts (or
            lists of texts) for the places `{}` of the prompts; optionally `context`, `history` and `caption`, B texts
            each, which are put before, in this order (an empty one is not).

    Raises:
        SamDataError: A number of texts differs from B, or a prompt has places that no text fills.
    """
    images = samples.get("image")
    if not isinstance(images, Tensor):
        raise SamDataError(f'samples["image"] is {_shown(images)}; wanted a tensor [B, 3, N, H, W].')
    count, prompt = len(images), samples.get("prompt")
    prompts = [prompt] * count if isinstance(prompt, str) else _texts(samples, "prompt", count)
    if samples.get("text_input") is not None:
        texts = _sized(samples, "text_input", count)
        prompts = [_fill(one, text) for one, text in zip(prompts, texts, strict=True)]
    for key, before in (
        ("context", "context: {}. "),
        ("history", "dialog history: {}\n"),
        ("caption", 'This image has the caption "{}". '),
    ):
        if samples.get(key) is not None and samples[key] != "":
            texts = _texts(samples, key, count)
            prompts = [
                before.replace("{}", text) + one if text else one for text, one in zip(texts, prompts, strict=True)
            ]
    return prompts


def _fill(prompt: str, text: Any) -> str:
    """Return a prompt with a text, or texts, in its places."""
    texts = [text] if isinstance(text, str) else list(text)
    parts = prompt.split("{}")
    if len(parts) == 1:  # a finished prompt
        return prompt
    if len(parts) - 1 > len(texts):
        raise SamDataError(f"the prompt {prompt[:80]!r} has {len(parts) - 1} places {{}} for {len(texts)} texts.")
    return parts[0] + "".join(filling + part for filling, part in zip(texts, parts[1:], strict=False))


def _candidates(candidates: Any, count: int) -> list[Sequence[str]]:
    """Return the candidates of each of B samples."""
    wanted = "wanted a list of texts, or a list of B such lists"
    if isinstance(candidates, str) or not isinstance(candidates, Sequence) or not candidates:
        raise SamDataError(f"candidates is {_shown(candidates)}; {wanted}.")
    if all(isinstance(text, str) for text in candidates):
        _refuse_blanks(candidates)
        return [candidates] * count
    if len(candidates) != count:
        raise SamDataError(f"{len(candidates)} lists of candidates for {count} samples; {wanted}.")
    for number, texts in enumerate(candidates):
        if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
            raise SamDataError(f"the candidates of sample {number} are {_shown(texts)}; {wanted}.")
        _refuse_blanks(texts)
    return list(candidates)


def _refuse_blanks(texts: Sequence[str]) -> None:
    if blank := [number for number, text in enumerate(texts) if not text.strip()]:
        raise SamDataError(f"candidate {blank[0]} of {len(texts)} is empty, so it has no loss; wanted a text.")


def _sized(samples: Mapping[str, Any], key: str, count: int) -> Sequence[Any]:
    values = samples[key]
    values = [values] if isinstance(values, str) and count == 1 else values
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != count:
        raise SamDataError(f'samples["{key}"] is {_shown(values)}; wanted a list of B = {count}.')
    return values


def _texts(samples: Mapping[str, Any], key: str, count: int) -> list[str]:
    if key not in samples or not all(isinstance(text, str) for text in _sized(samples, key, count)):
        raise SamDataError(f'samples["{key}"] is {_shown(samples.get(key))}; wanted a list of B = {count} texts.')
    return list(_sized(samples, key, count))


def _lists(samples: Mapping[str, Any], key: str, count: int) -> list[Sequence[str]]:
    values = _sized(samples, key, count)
    if any(isinstance(texts, str) or not isinstance(texts, Sequence) for texts in values):
        raise SamDataError(f'samples["{key}"] holds {_shown(values[0])}; wanted a list of texts for each sample.')
    return list(values)


def _shown(value: Any) -> str:
    return f"a {type(value).__name__} ({str(value)[:60]})"
