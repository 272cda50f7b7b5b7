"""BLIP-2 and InstructBLIP on several images.

Both were made for one image. The paper's base row feeds them as SAM's released code does without its guidance: each
image goes through vision encoder and Q-Former alone, and the visual tokens of all of them follow one another, in
order, before the instruction. InstructBLIP's Q-Former reads the instruction beside every image.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lavis_sam.baselines.local import LocalModel, search_arguments
from lavis_sam.evaluation.fingerprint import IMAGE
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.models.decoding import Decoding

# The released code cuts what the Q-Former reads, on its left; what the language model reads is never cut.
Q_FORMER_TOKENS = 128


class QFormerModel(LocalModel):
    """A `Blip2ForConditionalGeneration` or `InstructBlipForConditionalGeneration`, asked about several images."""

    prompt = f"the visual tokens of each {IMAGE} one after the other, then the instruction"

    def __init__(self, model: Any, processor: Any, *, name: str, decoding: Decoding | None = None) -> None:
        """Prepare the tokenizers.

        Args:
            processor: Its processor; one with a `qformer_tokenizer` makes it an InstructBLIP.

        Raises:
            SamConfigurationError: A decoding that cannot be compared.
        """
        super().__init__(model, processor, name=name, decoding=decoding)
        self._q_former_tokenizer = getattr(processor, "qformer_tokenizer", None)
        if self._q_former_tokenizer is not None:
            self._q_former_tokenizer.truncation_side = "left"

    @torch.no_grad()
    def answer(self, samples: Sequence[EvaluationSample]) -> list[str]:
        """Return one text for each sample."""
        language_model = self._model.language_model
        tokenizer = self._processor.tokenizer
        embed = language_model.get_input_embeddings()
        prompts = [
            torch.cat([visual, embed(self._ids(sample.instruction)).to(visual)])
            for visual, sample in zip(self._visual_tokens(samples), samples, strict=True)
        ]
        embeddings, mask = pad_left(prompts)
        written = language_model.generate(
            inputs_embeds=embeddings,
            attention_mask=mask,
            # An encoder-decoder starts from a token of its own, which is not part of the prompt either.
            **search_arguments(self._decoding, prompt_length=0),
        )
        return [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]

    def _ids(self, text: str) -> Tensor:
        """Return the language model's tokens of a text, int64 [T]."""
        return torch.tensor(self._processor.tokenizer(text).input_ids, device=self._model.device, dtype=torch.long)

    def _visual_tokens(self, samples: Sequence[EvaluationSample]) -> list[Tensor]:
        """Return the visual tokens of each of B samples, [N * Q, D_llm], N being its own number of images."""
        model = self._model
        counts = [len(sample.images) for sample in samples]
        images = [image for sample in samples for image in sample.images]
        pixels = self._processor.image_processor(images, return_tensors="pt")["pixel_values"]
        features = model.vision_model(pixels.to(model.device, model.vision_model.dtype)).last_hidden_state
        queries = model.query_tokens.expand(len(images), -1, -1)
        guided = model.qformer(
            query_embeds=queries,
            # transformers keeps the Q-Former in fp32, whatever the precision of the rest.
            encoder_hidden_states=features.to(queries.dtype),
            encoder_attention_mask=torch.ones(features.shape[:2], dtype=torch.long, device=features.device),
            **self._instructions(samples, queries),
        ).last_hidden_state[:, : queries.shape[1]]  # [ΣN, Q, D_q]
        projection = model.language_projection
        tokens = projection(guided.to(projection.weight.dtype))  # [ΣN, Q, D_llm]
        return [of_one.flatten(0, 1) for of_one in tokens.split(counts)]

    def _instructions(self, samples: Sequence[EvaluationSample], queries: Tensor) -> dict[str, Tensor]:
        """Return what InstructBLIP's Q-Former reads beside each image; nothing for BLIP-2."""
        if self._q_former_tokenizer is None:
            return {}
        texts = [sample.instruction for sample in samples for _ in sample.images]
        encoded = self._q_former_tokenizer(
            texts, padding=True, truncation=True, max_length=Q_FORMER_TOKENS, return_tensors="pt"
        ).to(queries.device)
        mask = torch.cat([encoded.attention_mask.new_ones(queries.shape[:2]), encoded.attention_mask], dim=1)
        return {"input_ids": encoded.input_ids, "attention_mask": mask}


def pad_left(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return rows of different lengths as one batch, so that all end at its right edge, where generation goes on.

    Args:
        rows: B of [T, D].

    Returns:
        [B, T, D] with zeros on the left, and int64 [B, T], 1 where something is.
    """
    longest = max(len(row) for row in rows)
    batch = torch.stack([torch.nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=batch.device)
    places = torch.arange(longest, device=batch.device)
    return batch, (places >= longest - lengths[:, None]).long()
