"""Any image-text-to-text model of transformers' with a chat template: LLaVA-interleave, Idefics, Qwen-VL and others."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lavis_sam.baselines.local import LocalModel, search_arguments
from lavis_sam.baselines.reply import opened_thoughts, without_thoughts
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.fingerprint import IMAGES
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.models.decoding import Decoding


class ChatModel(LocalModel):
    """One conversation for each sample: all images in order, then the instruction as it is.

    Batches are padded on the left, so that an answer does not depend on the other samples of a batch.
    """

    prompt = f"one user turn of the model's chat template: all {IMAGES}, then the instruction"

    def __init__(self, model: Any, processor: Any, *, name: str, decoding: Decoding | None = None) -> None:
        """Prepare the processor.

        Raises:
            SamConfigurationError: No chat template, or a decoding that cannot be compared.
        """
        super().__init__(model, processor, name=name, decoding=decoding)
        tokenizer = getattr(processor, "tokenizer", None)
        if tokenizer is None or not getattr(processor, "chat_template", None):
            raise SamConfigurationError(
                f"{name}: found a {type(processor).__name__} without a tokenizer or a chat template, wanted both. The "
                "template is the file chat_template.jinja (or .json) of the model's folder; without it nobody can say "
                "how the model wants to be asked."
            )
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._pad = tokenizer.pad_token_id
        self._start = tokenizer.bos_token or ""
        self._image_mark = str(getattr(processor, "image_token", None) or "")

    def describe(self) -> Mapping[str, Any]:
        """See `LocalModel.describe`; the template is part of what the model was asked."""
        return {**super().describe(), "chat_template": self._processor.chat_template}

    @torch.no_grad()
    def answer(self, samples: Sequence[EvaluationSample]) -> list[str]:
        """Return one text for each sample, without what the model thought before it.

        Raises:
            SamDataError: Processor or model cannot take a sample.
        """
        inputs = self._inputs(samples).to(self._model.device, self._model.dtype)
        length = 0 if self._model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        arguments = search_arguments(self._decoding, prompt_length=length)
        try:
            written = self._model.generate(**inputs, pad_token_id=self._pad, **arguments)
        except ValueError as error:  # some models count the marks of images only here
            raise self._refusal(samples, "model", error) from error
        texts = self._processor.batch_decode(written[:, length:], skip_special_tokens=True)
        opened = opened_thoughts(self._prompt(samples[0]))
        return [without_thoughts(opened + text, None) for text in texts]

    def _inputs(self, samples: Sequence[EvaluationSample]) -> Any:
        """Return the batch as the model takes it."""
        prompts = [self._prompt(sample) for sample in samples]
        # Most templates write the start token themselves; the tokenizer would write a second one.
        written_already = bool(self._start) and all(prompt.startswith(self._start) for prompt in prompts)
        try:
            return self._processor(
                text=prompts,
                images=[list(sample.images) for sample in samples],
                padding=True,
                add_special_tokens=not written_already,
                return_tensors="pt",
            )
        # Every processor has its own way to say no to several images.
        except Exception as error:
            raise self._refusal(samples, "processor", error) from error

    def _refusal(self, samples: Sequence[EvaluationSample], part: str, error: Exception) -> SamDataError:
        asked = ", ".join(f"{sample.id!r} ({len(sample.images)} images)" for sample in samples)
        return SamDataError(
            f"sample(s) {asked}: the {part} of {self._name} refuses ({type(error).__name__}: {error}). Wanted a model "
            "that takes several images in one turn."
        )

    def _prompt(self, sample: EvaluationSample) -> str:
        if self._image_mark and self._image_mark in sample.instruction:
            raise SamDataError(
                f"sample {sample.id!r}: the instruction holds {self._image_mark!r}, which {self._name} would take "
                "for an image. Reword it."
            )
        content = [{"type": "image"} for _ in sample.images]
        turn = {"role": "user", "content": [*content, {"type": "text", "text": sample.instruction}]}
        try:
            return str(self._processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False))
        # A template is a program, and fails like one.
        except Exception as error:
            raise SamConfigurationError(
                f"{self._name}: its chat template fails on a turn of {len(content)} images and a text "
                f"({type(error).__name__}: {error}). Wanted a template for vision; is the folder complete?"
            ) from error
