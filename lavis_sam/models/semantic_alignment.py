"""The model, as a plain module: from images to text.

    1 vision   2 adaptive weights   3 W-former   4 Q-Former   5 projection   6 language

`encode` runs steps 1 to 5 once for a batch; `loss` and `generate_from` are step 6, each as often as is wanted.
"""

from collections.abc import Container, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lavis_sam.models.adaptive_adjustment import AdaptiveAdjustment
from lavis_sam.models.batch import read_prompts, read_targets
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.language.sequence import (
    LanguageInputs,
    LanguageLoss,
    prompt_ends,
    target_loss,
    training_inputs,
)
from lavis_sam.models.language.tokenizers import TextTokenizer
from lavis_sam.models.objectives import OBJECTIVES, OF_FEATURES, OF_TOKENS, LossTerm, read_objectives, total_loss
from lavis_sam.models.q_former import QFormer
from lavis_sam.models.released_search import Generation, generate, stream
from lavis_sam.models.trainable import select_trainable
from lavis_sam.models.vision import EvaVisionTransformer
from lavis_sam.models.visual_path import PatchFeatures, VisualPath, VisualPathModule, guided_visual_path, look
from lavis_sam.models.vpg_c import VpgC
from lavis_sam.models.w_former import EXTRACTORS


@dataclass(frozen=True)
class ReleasedFingerprints:
    """What fingerprints say of parameters that a model had when it was built.

    Attributes:
        parameters: name -> what `weights_fingerprint` takes of it.
        parts: part -> its numbers in `fingerprint`.
    """

    parameters: Mapping[str, bytes]
    parts: Mapping[str, str]


class SemanticAlignment(nn.Module):
    """SAM: an InstructBLIP whose Q-Former lets the other images guide the extraction of each image's tokens.

    Everything but the layers of SAM and the projection is frozen, unless `select_trainable` says otherwise. ViT,
    Q-Former and language model stay in eval mode, also under `train()`.

    Args:
        visual_encoder: the ViT.
        ln_vision: the layer norm after it.
        q_former: the Q-Former.
        query_tokens: learned queries [1, Q, D_q].
        llm_proj: Linear(D_q, D_llm).
        llm_model: a causal model of transformers', with the [PAD] row where its tokenizer adds one.
        tokenizer: the Q-Former's tokenizer.
        llm_tokenizer: the language model's tokenizer.
        guidance: which reading of the paper to follow.
        max_txt_len: longest instruction in tokens, for the Q-Former and, in training, for the language model (longer
            ones lose their beginning).
        max_output_txt_len: longest training target in tokens (longer ones lose their end).
        prompt: the instruction when a batch brings none.
        objectives: names of `OBJECTIVES` and their weights; the language loss alone when None.
        visual_path: steps 1 to 5; SAM's own unless another one takes their place.

    Attributes:
        injected: names of the trained parameters that `lavis_sam.weights.injection` added.
        vpg_c: VPG-C, where it was injected: the language model then reads the images a second time.
        packing: whether samples share rows of the language model in `loss`, which saves their padding.
        released: fingerprints of parameters that were let go of; see `lavis_sam.features.run_features`.
    """

    llm_model: Any  # a module whose class is not ours
    injected: tuple[str, ...] = ()
    packing: bool = False
    released: ReleasedFingerprints | None = None

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
        llm_tokenizer: TextTokenizer,
        guidance: Guidance,
        max_txt_len: int = 128,
        max_output_txt_len: int = 256,
        prompt: str = "",
        objectives: Mapping[str, float] | None = None,
        visual_path: VisualPathModule = guided_visual_path,
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
        self.objectives = read_objectives(objectives)

        self.guidance = guidance.at_depth(q_former.bert.num_layers)
        if self.guidance.is_active:
            sizes = {"vision_width": visual_encoder.num_features}
            self.adaptive_adjustment = AdaptiveAdjustment(self.guidance, **sizes)
            entry = EXTRACTORS[self.guidance.extractor]
            self.add_module(entry.module, entry.build(self.guidance, **sizes, width=query_tokens.shape[-1]))
        self.visual_path = visual_path
        self.vpg_c: VpgC | None = None
        select_trainable(self, "sam")
        self.train(self.training)

    @property
    def device(self) -> torch.device:
        """Where images and visual tokens live; the language model may be spread over other devices."""
        return self.query_tokens.device

    @property
    def extractor(self) -> nn.Module:
        """What step 3 runs. Only where `guidance.is_active`."""
        return self.get_submodule(EXTRACTORS[self.guidance.extractor].module)

    def train(self, mode: bool = True) -> "SemanticAlignment":
        """Set the mode of the trainable parts; frozen parts stay in eval mode (no dropout noise)."""
        super().train(mode)
        for frozen in (self.visual_encoder, self.ln_vision, self.Qformer, self.llm_model):
            frozen.eval()
        return self

    def forward(self, samples: dict[str, Any]) -> dict[str, Any]:
        """Return the loss of a training batch.

        Args:
            samples: `image` [B, 3, N, H, W] (or [B, 3, H, W], no guidance) and, optionally, `image_mask` bool [B, N];
                or, in their place, `image_features` [B, N, P, D_v] with `image_mask`; `text_input` and `text_output`,
                lists of B strings.

        Returns:
            `loss`, the weighted sum of the objectives (by default the mean over all target tokens); `losses`, each
            objective's `LossTerm` by name; `per_sample_loss` [B], the language loss as the mean over each sample's
            target tokens; `target_tokens` [B], how many there are. Where no objective that has a weight reads the
            language model's outputs, it rests: `per_sample_loss` is absent, and each sample counts as one token.

        Raises:
            SamDataError: the batch breaks this contract.
        """
        instructions, targets = read_targets(samples)
        wanted = {name for name, weight in self.objectives.items() if weight}
        counts = torch.ones(len(targets), dtype=torch.int64)
        if wanted <= OF_FEATURES:
            features, index = look(self, samples, len(targets))
            terms = self._terms(PatchFeatures(index, features), samples, None, OF_FEATURES)
            return {"loss": total_loss(terms.values()), "target_tokens": counts, "losses": terms}
        visual = self.encode(samples, instructions)
        if wanted <= OF_FEATURES | OF_TOKENS:
            terms = self._terms(visual, samples, None, wanted)
            return {"loss": total_loss(terms.values()), "target_tokens": counts, "losses": terms}
        outputs = self.loss(visual, instructions, targets)
        terms = self._terms(visual, samples, outputs, OBJECTIVES)
        return {
            "loss": total_loss(terms.values()),
            "per_sample_loss": outputs.per_sample_loss,
            "target_tokens": outputs.target_tokens,
            "losses": terms,
        }

    def _terms(
        self,
        visual: VisualPath | PatchFeatures,
        samples: dict[str, Any],
        outputs: LanguageLoss | None,
        among: Container[str],
    ) -> dict[str, LossTerm]:
        """Return the loss of each objective that is `among` some, with its weight."""
        return {
            name: OBJECTIVES[name](self, visual, samples, outputs)._replace(weight=weight)
            for name, weight in self.objectives.items()
            if name in among
        }

    def encode(self, samples: dict[str, Any], instructions: list[str]) -> VisualPath:
        """Do steps 1 to 5: run the vision encoder and the Q-Former, once for all images of the batch.

        Args:
            samples: the batch's images or features, as for `forward`.
            instructions: B instructions, for the Q-Former.

        Raises:
            SamDataError: the batch breaks the contract.
        """
        return self.visual_path(self, samples, instructions)

    def loss(self, visual: VisualPath, instructions: Sequence[str], targets: Sequence[str]) -> LanguageLoss:
        """Do step 6 in training: return the language model's loss on B targets after B instructions.

        Raises:
            SamDataError: a sample is longer than the language model reads.
            SamConfigurationError: `packing`, and the language model cannot read several samples in a row.
        """
        inputs = self.language_inputs(visual, instructions, targets)
        language = self.language(visual, instructions, prompt_ends(inputs))
        return target_loss(language, inputs, packing=self.packing)

    def language(self, visual: VisualPath, instructions: Sequence[str], prompt_ends: torch.Tensor | None = None) -> Any:
        """Return the language model as it reads B samples: `llm_model` itself unless something conditions it.

        Args:
            prompt_ends: int64 [B], the position of each prompt's last token; None where that is the last position.
        """
        if self.vpg_c is None:
            return self.llm_model
        return self.vpg_c.language(self, visual, instructions, prompt_ends)

    def language_inputs(
        self, visual: VisualPath, instructions: Sequence[str], targets: Sequence[str]
    ) -> LanguageInputs:
        """Lay out what the language model reads in training; see `training_inputs`."""
        return training_inputs(
            self.llm_model,
            self.llm_tokenizer,
            visual.tokens,
            visual.token_mask,
            instructions,
            targets,
            max_txt_len=self.max_txt_len,
            max_output_txt_len=self.max_output_txt_len,
        )

    @torch.no_grad()
    def generate_from(
        self, visual: VisualPath, prompts: Sequence[str], decoding: Decoding, *, output_scores: bool = False
    ) -> Generation:
        """Do step 6 in evaluation: answer B prompts; see `Decoding` for the settings.

        Raises:
            SamDataError: a sample is longer than the language model reads.
        """
        language = self.language(visual, prompts)
        return generate(
            language, self.llm_tokenizer, visual.tokens, visual.token_mask, prompts, decoding, output_scores
        )

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
            samples: images or features as for `forward`; `prompt`, one string for all or a list of B (else
                `text_input`, else the model's own prompt).
            use_nucleus_sampling: sample from the smallest set of tokens that holds `top_p` of the probability.
            num_beams: beams of the search; 1 is greedy, or plain sampling.
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
        answer = self.generate_from(self.encode(samples, prompts), prompts, decoding, output_scores=output_scores)
        return answer.texts if answer.scores is None else (answer.texts, answer.scores)

    def stream(self, samples: dict[str, Any], decoding: Decoding) -> Generator[str, None, torch.Tensor]:
        """Answer the one instruction of a batch of B = 1, piece by piece; joined, the pieces are `generate`'s text.

        The generator's own value, at its end, is the text's sequence: int64 [T].

        Args:
            samples: As for `generate`.
            decoding: How to decode: one beam, one text.

        Raises:
            SamDataError: the batch breaks the contract.
            SamConfigurationError: several beams or texts, of which no word is certain before the end.
        """
        prompts = read_prompts(samples, self.prompt)
        with torch.no_grad():
            visual = self.encode(samples, prompts)
        language = self.language(visual, prompts)
        return stream(language, self.llm_tokenizer, visual.tokens, visual.token_mask, prompts[0], decoding)
