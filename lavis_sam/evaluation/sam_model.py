"""SAM as an `EvaluationModel`: the visual path of a batch runs once, for its answers and for its loss."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lavis_sam.evaluation.batch_memory import BatchMemory, SamMemory
from lavis_sam.evaluation.fingerprint import weights_fingerprint
from lavis_sam.evaluation.prediction_log import Record
from lavis_sam.evaluation.run_folder import Provenance
from lavis_sam.models.batch import read_targets, to_device
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.objectives import OBJECTIVES
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.w_former import is_trained

logger = logging.getLogger(__name__)

# What the `model` section of a configuration says and the weights' fingerprint does not hold.
_MODEL_KEYS = ("arch", "model_type", "precision", "guidance", "max_txt_len", "prompt")
# The texts' processor that changes nothing.
_TEXTS_AS_THEY_ARE = {"name": "sam_text"}


class SamModel:
    """SAM, or any module with its `encode`, `loss` and `generate_from`, as an `EvaluationModel`.

    Samples are the data set's own items (see `collate_multi_image`), so that worker processes prepare the images.
    """

    read = None
    collate = None

    def __init__(
        self,
        model: nn.Module,
        decoding: Decoding | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        dataset: str = "evaluation",
    ) -> None:
        """Keep the parts.

        Args:
            model: The model, on its device.
            decoding: How to decode; the published way if None.
            config: The resolved configuration as plain data, if there is one.
        """
        self._model: Any = model
        self._decoding = decoding or Decoding()
        self._config, self._dataset = config or {}, dataset

    @property
    def memory(self) -> BatchMemory | None:
        """What samples need while they are answered; None of another model than SAM."""
        return SamMemory(self._model, self._decoding) if isinstance(self._model, SemanticAlignment) else None

    def describe(self) -> Mapping[str, Any]:
        """Return model, weights, decoding, and how images and texts are prepared."""
        chosen, section = _sections(self._config, self._dataset)
        # What follows is named only where it is set: earlier runs do not have it. The weights of what is injected are
        # hashed; LoRA's alpha or VPG-C's layer is not. What has an objective's name is its head and no part of answers.
        injected = {name: options for name, options in (chosen.get("inject") or {}).items() if name not in OBJECTIVES}
        further = {"lora": chosen.get("lora"), "inject": injected}
        texts = (section.get("text_processor") or {}).get("eval")
        return {
            "model": {key: chosen[key] for key in _MODEL_KEYS if key in chosen}
            | {key: value for key, value in further.items() if value},
            "weights": weights_fingerprint(self._model),
            "decoding": dataclasses.asdict(self._decoding),
            "pictures": (section.get("vis_processor") or {}).get("eval"),
            **({"texts": texts} if texts and texts != _TEXTS_AS_THEY_ARE else {}),
        }

    def provenance(self, described: Mapping[str, Any], *, split: str, prompts: Any = None) -> Provenance:
        """Return what `sam_provenance` says; the prompts are the configuration's, whatever `prompts` names."""
        return sam_provenance(
            self._config,
            self._dataset,
            self._decoding,
            weights=described.get("weights"),
            split=split,
            is_trained=is_trained(self._model),
        )

    @torch.no_grad()
    def records(self, batch: Any) -> list[Record]:
        """Answer a batch of B samples.

        Returns:
            B records; beside the texts they hold, for the validation loss, `target_loss` (mean over the sample's target
            tokens) and `target_tokens`.
        """
        batch = to_device(batch, next(self._model.parameters()).device)
        instructions, targets = read_targets(batch)
        visual = self._model.encode(batch, instructions)
        loss = self._model.loss(visual, instructions, targets)
        texts = self._model.generate_from(visual, instructions, self._decoding).texts
        # With num_captions > 1 the answers of a sample follow one another; the first is the best.
        texts = texts[:: self._decoding.num_captions]
        references = batch.get("references") or [None] * len(texts)
        columns = (batch["sample_id"], texts, targets, loss.per_sample_loss.tolist(), loss.target_tokens.tolist())
        return [
            {
                "sample_id": name,
                "pred_response": text,
                "gt_response": truth,
                "target_loss": of_sample,
                "target_tokens": tokens,
                **({"references": known} if known else {}),
            }
            for name, text, truth, of_sample, tokens, known in zip(*columns, references, strict=True)
        ]


def warn_if_untrained(model: nn.Module) -> None:
    """Say that a model's answers will be its base's: once, before an evaluation."""
    if is_trained(model) is False:
        logger.warning(
            "SAM'S LAYERS ARE UNTRAINED: Linear_h and Linear_c are zero, so these are the answers of the base alone "
            "(InstructBLIP). Trained layers are given by --checkpoint, or as model.finetuned."
        )


def sam_provenance(
    config: Mapping[str, Any],
    dataset: str,
    decoding: Decoding,
    *,
    weights: str | None,
    split: str,
    is_trained: bool | None = None,
) -> Provenance:
    """Return what the manifest says about how SAM's answers were made.

    Args:
        config: The resolved configuration as plain data; {} if there is none.
    """
    model, section = _sections(config, dataset)
    return Provenance(
        model=" ".join(str(model[key]) for key in ("arch", "model_type") if model.get(key)) or None,
        weights=weights,
        split=split,
        prompts=(section.get("build_info") or {}).get("prompt_set"),
        decoding=dataclasses.asdict(decoding),
        is_trained=is_trained,
        config={"model": model, "datasets": {dataset: section}} if model else None,
    )


def _sections(config: Mapping[str, Any], dataset: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what a configuration says of the model and of a data set; {} where it says nothing."""
    return config.get("model") or {}, (config.get("datasets") or {}).get(dataset) or {}
