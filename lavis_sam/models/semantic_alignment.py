"""The model, as a plain module: the way of the data from images to text, step by step.

    1 vision   2 adaptive weights   3 W-former   4 Q-Former   5 projection   6 language

Each step is a module or a function of its own file; this one only leads the data from one to the next. `builder` knows
sizes and files, `checkpoints` knows key names, `blip2_vicuna_sam` is the face that LAVIS sees.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lavis_sam.models.adaptive_adjustment import AdaptiveAdjustment, MergedContext
from lavis_sam.models.batch import ImageIndex, read_images, read_prompts, read_targets
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.language.sequence import target_loss, training_inputs
from lavis_sam.models.language.tokenizers import LlamaSentencePieceTokenizer
from lavis_sam.models.projection import project
from lavis_sam.models.q_former import QFormer
from lavis_sam.models.released_search import generate, stream
from lavis_sam.models.vision import EvaVisionTransformer
from lavis_sam.models.w_former import LinearExtractor, WFormer, add_at

TRAINABLE = ("adaptive_adjustment.", "w_former.", "linear_extractor.", "llm_proj.")


@dataclass(frozen=True)
class VisualPath:
    """What steps 1 to 5 made of a batch.

    Attributes:
        index: where the real images are; None for a 4-D batch.
        features: patch features I [ΣN, P, D_v].
        context: merged context Î and adaptive weights; None without guidance.
        semantics: contextual semantics c [ΣN, S, D_q] ([ΣN, Q, D_q] under `positions: queries`); None without guidance.
        extracted: guided visual tokens before projection [ΣN, Q, D_q].
        tokens: visual tokens [B, N*Q, D_llm], zero at padded images.
        token_mask: bool [B, N*Q], false at padded images.
    """

    index: ImageIndex | None
    features: torch.Tensor
    context: MergedContext | None
    semantics: torch.Tensor | None
    extracted: torch.Tensor
    tokens: torch.Tensor
    token_mask: torch.Tensor


@dataclass(frozen=True)
class Guided:
    """What steps 2 and 3 made of patch features.

    Attributes:
        q: the Q stream at the input of layer l [ΣN, S, D_q].
        q_mask: its mask, bool [ΣN, S]; None when nothing is padded.
        context: merged context Î and adaptive weights.
        semantics: contextual semantics c [ΣN, S, D_q] ([ΣN, Q, D_q] under `positions: queries`).
    """

    q: torch.Tensor
    q_mask: torch.Tensor | None
    context: MergedContext
    semantics: torch.Tensor


class SemanticAlignment(nn.Module):
    """SAM: an InstructBLIP whose Q-Former lets the other images guide the extraction of each image's tokens.

    Everything but the layers of SAM and the projection is frozen and stays in eval mode, also under `train()`.

    Args:
        visual_encoder: the ViT.
        ln_vision: the layer norm after it.
        q_former: the Q-Former.
        query_tokens: learned queries [1, Q, D_q].
        llm_proj: Linear(D_q, D_llm).
        llm_model: a transformers Llama, its vocabulary already holding the [PAD] row.
        tokenizer: the Q-Former's tokenizer.
        llm_tokenizer: the language model's tokenizer.
        guidance: which reading of the paper to follow.
        max_txt_len: longest instruction in tokens, for both tokenizers (longer ones lose their beginning).
        max_output_txt_len: longest training target in tokens (longer ones lose their end).
        prompt: the instruction when a batch brings none.
    """

    def __init__(
        self,
        *,
        visual_encoder: EvaVisionTransformer,
        ln_vision: nn.LayerNorm,
        q_former: QFormer,
        query_tokens: nn.Parameter,
        llm_proj: nn.Linear,
        llm_model: nn.Module,
        tokenizer: Any,
        llm_tokenizer: LlamaSentencePieceTokenizer,
        guidance: Guidance,
        max_txt_len: int = 128,
        max_output_txt_len: int = 256,
        prompt: str = "",
    ) -> None:
        super().__init__()
        self.visual_encoder = visual_encoder
        self.ln_vision = ln_vision
        self.Qformer = q_former
        self.query_tokens = query_tokens
        self.llm_proj = llm_proj
        self.llm_model = llm_model
        self.tokenizer = tokenizer
        self.llm_tokenizer = llm_tokenizer
        self.max_txt_len = max_txt_len
        self.max_output_txt_len = max_output_txt_len
        self.prompt = prompt

        self.guidance = guidance.at_depth(q_former.bert.num_layers)
        vision_width, width = visual_encoder.num_features, query_tokens.shape[-1]
        if self.guidance.is_active:
            self.adaptive_adjustment = AdaptiveAdjustment(self.guidance, vision_width=vision_width)
        if self.guidance.extractor == "w_former":
            self.w_former = WFormer(self.guidance, width=width)
        elif self.guidance.extractor == "linear":
            self.linear_extractor = LinearExtractor(vision_width=vision_width, width=width)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINABLE))
        self._warned_about_pairs = False
        self.train(self.training)

    @property
    def device(self) -> torch.device:
        """Where images and visual tokens live; the language model may be spread over other devices."""
        return self.query_tokens.device

    def train(self, mode: bool = True) -> "SemanticAlignment":
        """Set the mode of the trainable parts; frozen parts stay in eval mode (no dropout noise)."""
        super().train(mode)
        for frozen in (self.visual_encoder, self.ln_vision, self.Qformer, self.llm_model):
            frozen.eval()
        return self

    def forward(self, samples: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Loss of a training batch.

        Args:
            samples: `image` [B, 3, N, H, W] (or [B, 3, H, W], no guidance), `image_mask` bool [B, N] (optional),
                `text_input` and `text_output`, lists of B strings.

        Returns:
            `loss`, the mean over all target tokens; `per_sample_loss` [B], the mean over each sample's target tokens;
            `target_tokens` [B], how many there are.

        Raises:
            SamDataError: the batch breaks this contract.
        """
        instructions, targets = read_targets(samples)
        visual = self.visual_path(samples, instructions)  # steps 1 to 5
        inputs = training_inputs(  # 6 language
            self.llm_model,
            self.llm_tokenizer,
            visual.tokens,
            visual.token_mask,
            instructions,
            targets,
            max_txt_len=self.max_txt_len,
            max_output_txt_len=self.max_output_txt_len,
        )
        result = target_loss(self.llm_model, inputs)
        return {
            "loss": result.loss,
            "per_sample_loss": result.per_sample_loss,
            "target_tokens": result.target_tokens,
        }

    def visual_path(self, samples: dict[str, Any], instructions: list[str]) -> VisualPath:
        """Steps 1 to 5: from images and instructions to visual tokens, all images of the batch at once.

        Args:
            samples: the batch's `image` and, optionally, `image_mask`.
            instructions: B instructions, for the Q-Former.
        """
        images, index = read_images(samples, len(instructions))
        bert, layers = self.Qformer.bert, self.Qformer.bert.num_layers
        embedded, key_mask = self.embed(instructions)
        features = self.ln_vision(self.visual_encoder(images.to(self.device)))  # 1 vision
        if index is not None:
            index = index.to(self.device)
        if index is None or not self.guidance.is_active:
            q, q_mask = (embedded, key_mask) if index is None else (index.repeat(embedded), index.repeat(key_mask))
            extracted = bert.run_layers(1, layers, q, q_mask, features, queries_only=True)
            return VisualPath(index, features, None, None, extracted, *project(self.llm_proj, extracted, index))

        self._warn_about_pairs(index)
        guided = self.guide(features, index, embedded, key_mask)  # 2 adaptive weights, 3 W-former
        layer_l, layer_k, q_mask = self.guidance.layer_l or layers, self.guidance.layer_k or layers, guided.q_mask
        q = bert.run_layers(layer_l, layer_k - 1, guided.q, q_mask, features)
        extracted = bert.run_layers(  # 4 Q-Former
            layer_k, layers, add_at(q, guided.semantics), q_mask, features, queries_only=True
        )
        tokens, token_mask = project(self.llm_proj, extracted, index)  # 5 projection
        return VisualPath(index, features, guided.context, guided.semantics, extracted, tokens, token_mask)

    def guide(
        self, features: torch.Tensor, index: ImageIndex, embedded: torch.Tensor, key_mask: torch.Tensor | None
    ) -> Guided:
        """Steps 2 and 3: from patch features to contextual semantics. Only where `guidance.is_active`.

        Args:
            features: patch features of the real images [ΣN, P, D_v].
            index: which image belongs to which sample.
            embedded: embedded queries and instructions [B, S, D_q], see `embed`.
            key_mask: bool [B, S], false at padded instruction tokens; None when nothing is padded.
        """
        bert = self.Qformer.bert
        context = self.adaptive_adjustment(features, index)
        q, q_mask = index.repeat(embedded), index.repeat(key_mask)
        q = bert.run_layers(1, (self.guidance.layer_l or bert.num_layers) - 1, q, q_mask, features)
        if self.guidance.extractor == "w_former":  # or the linear layer that replaces it
            semantics = self.w_former(bert, embedded, key_mask, q, context, index)
        else:
            covered = bert.num_queries if self.guidance.positions == "queries" else q.shape[1]
            semantics = self.linear_extractor(context, index).expand(-1, covered, -1)
        return Guided(q, q_mask, context, semantics)

    @torch.no_grad()
    def generate(
        self,
        samples: dict[str, Any],
        use_nucleus_sampling: bool = False,
        num_beams: int = 5,
        max_length: int = 256,
        min_length: int = 1,
        top_p: float = 0.9,
        repetition_penalty: float = 1.5,
        length_penalty: float = 1.0,
        num_captions: int = 1,
        temperature: float = 1.0,
        output_scores: bool = False,
    ) -> list[str] | tuple[list[str], torch.Tensor]:
        """Answer a batch of instructions; the defaults are the published ones.

        Args:
            samples: `image`, optionally `image_mask` as for `forward`; `prompt`, one string for all or a list of B
                (else `text_input`, else the model's own prompt).
            use_nucleus_sampling: sample from the smallest set of tokens that holds `top_p` of the probability.
            num_beams: beams of the search; 1 is greedy.
            max_length: one more than the most new tokens (the released code counts an invisible first token).
            min_length: fewest tokens, counted likewise.
            top_p: see `use_nucleus_sampling`.
            repetition_penalty: penalty on tokens that the answer already holds.
            length_penalty: exponent of the length in a beam's score.
            num_captions: answers per sample.
            temperature: of the sampling.
            output_scores: also return a score per answer.

        Returns:
            B * num_captions answers, sample by sample; with `output_scores` also their scores [B * num_captions].

        Raises:
            SamDataError: the batch breaks the contract, a prompt count that differs from B included.
            SamConfigurationError: an impossible decoding setting.
        """
        decoding = Decoding(
            use_nucleus_sampling=use_nucleus_sampling,
            num_beams=num_beams,
            max_length=max_length,
            min_length=min_length,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            length_penalty=length_penalty,
            num_captions=num_captions,
            temperature=temperature,
        )
        prompts = read_prompts(samples, self.prompt)
        visual = self.visual_path(samples, prompts)
        answer = generate(
            self.llm_model, self.llm_tokenizer, visual.tokens, visual.token_mask, prompts, decoding, output_scores
        )
        return answer.texts if answer.scores is None else (answer.texts, answer.scores)

    def stream(self, samples: dict[str, Any], decoding: Decoding) -> Iterator[str]:
        """Answer the one instruction of a batch of B = 1, piece by piece; joined, the pieces are `generate`'s text.

        Args:
            samples: As for `generate`.
            decoding: How to decode: one beam, one text.

        Raises:
            SamDataError: the batch breaks the contract.
            SamConfigurationError: several beams or texts, of which no word is certain before the end.
        """
        prompts = read_prompts(samples, self.prompt)
        with torch.no_grad():
            visual = self.visual_path(samples, prompts)
        return stream(self.llm_model, self.llm_tokenizer, visual.tokens, visual.token_mask, prompts[0], decoding)

    def embed(self, instructions: list[str]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Embed queries and instructions [B, S, D_q], and their mask bool [B, S] (None when nothing is padded)."""
        text = self.tokenizer(
            instructions, padding="longest", truncation=True, max_length=self.max_txt_len, return_tensors="pt"
        )
        embedded = self.Qformer.bert.embed(self.query_tokens, text.input_ids.to(self.device))
        if bool(text.attention_mask.all()):
            return embedded, None
        real = text.attention_mask.bool()
        queries = torch.ones(len(real), self.query_tokens.shape[1], dtype=torch.bool)
        return embedded, torch.cat((queries, real), dim=1).to(self.device)

    def _warn_about_pairs(self, index: ImageIndex) -> None:
        """Say once that pairs cannot teach Linear_a when its softmax has a single image to choose from."""
        if self._warned_about_pairs or not self.training or not self.guidance.needs_three_images:
            return
        if int(index.mask.sum(dim=1).max()) <= 2:
            self._warned_about_pairs = True
            warnings.warn(
                "model.guidance: context `others` with normalise `images` gives every weight the value 1 when a sample "
                "has two images, so the adaptive layer cannot learn from this batch of pairs; use context `all`, "
                "normalise `patches`, or samples of three or more images",
                stacklevel=2,
            )
