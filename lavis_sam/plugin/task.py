"""The LAVIS task `multi_image_captioning`: train on instruction and answer, caption by generation."""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lavis.common.registry import registry
from lavis.tasks.base_task import BaseTask
from torch import Tensor, nn

from lavis_sam import distributed
from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.batches import as_evaluation_loader
from lavis_sam.evaluation.fingerprint import samples_fingerprint, weights_fingerprint
from lavis_sam.evaluation.generation_loop import answer_all
from lavis_sam.evaluation.results import DEFAULT_PROTOCOL, check_scorable, write_scored
from lavis_sam.evaluation.run_folder import PREDICTIONS_FILE, Provenance
from lavis_sam.metrics.protocols import METRICS
from lavis_sam.models.decoding import Decoding
from lavis_sam.plugin.registry import registered_class

logger = logging.getLogger(__name__)

# What `model` says and the weights' fingerprint does not hold.
_MODEL_KEYS = ("arch", "model_type", "precision", "guidance", "max_txt_len", "prompt")


@dataclass(frozen=True)
class TrainOutput:
    """What one forward pass of a batch gives the training loop.

    Attributes:
        loss: Scalar, the mean over the batch's target tokens.
        target_tokens: How many target tokens that mean runs over.
    """

    loss: Tensor
    target_tokens: int


@registry.register_task("multi_image_captioning")
class MultiImageCaptioningTask(BaseTask):
    """Captioning of several images by one text.

    Attributes:
        decoding: Keyword arguments of the model's `generate`; what is not given keeps the published default.
        select_best_by: What a validation is judged by: "loss", or a metric ("rouge", "cider", "bleu4").
        protocol: How answers are scored; see `lavis_sam.metrics.protocols`.
        config: The resolved configuration as plain data; results say how they were made with it.
    """

    def __init__(
        self,
        decoding: Mapping[str, Any] | None = None,
        *,
        select_best_by: str = "loss",
        protocol: str = DEFAULT_PROTOCOL,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Check the arguments; see the class.

        Raises:
            SamConfigurationError: An unknown argument, or an impossible value.
        """
        super().__init__()
        self.inst_id_key = "sample_id"
        self.decoding = dict(decoding or {})
        self.select_best_by, self.protocol, self.config = select_best_by, protocol, dict(config or {})
        # Folder of results -> what the answers there depend on.
        self._identities: dict[str, Mapping[str, Any] | None] = {}
        if select_best_by not in ("loss", *METRICS):
            raise SamConfigurationError(
                unknown_name("metric", select_best_by, ["loss", *METRICS], "run.select_best_by")
            )
        known = [entry.name for entry in dataclasses.fields(Decoding)]
        unknown = [unknown_name("key", name, known, "run.decoding") for name in self.decoding if name not in known]
        if unknown:
            raise SamConfigurationError("\n".join(unknown))
        Decoding(**self.decoding)

    @classmethod
    def setup_task(cls, cfg: Any, **kwargs: Any) -> "MultiImageCaptioningTask":
        """Build from a configuration; `run.decoding` holds arguments of `generate`."""
        decoding = cfg.run_cfg.get("decoding") or {}
        return cls(
            {str(name): decoding[name] for name in decoding},
            select_best_by=cfg.run_cfg.get("select_best_by", "loss"),
            config=cfg.to_dict() if hasattr(cfg, "to_dict") else None,
        )

    def build_model(self, cfg: Any) -> nn.Module:
        """The model that `model.arch` names.

        Raises:
            SamConfigurationError: Unknown `model.arch`.
        """
        return registered_class("model", cfg.model_cfg.get("arch"), "model.arch").from_config(cfg.model_cfg)

    def build_datasets(self, cfg: Any) -> dict[str, dict[str, Any]]:
        """Data set name -> split -> data set, for every entry of `datasets`.

        Raises:
            SamConfigurationError: No data set, or an unknown name.
        """
        if not cfg.datasets_cfg:
            raise SamConfigurationError("datasets: found no entry, wanted at least one data set.")
        return {
            name: registered_class("data set", name, "datasets")(dataset_cfg).build_datasets()
            for name, dataset_cfg in cfg.datasets_cfg.items()
        }

    def train_output(self, model: nn.Module, samples: Mapping[str, Any]) -> TrainOutput:
        """Forward a batch (B samples, see the batch contract) for training."""
        output = model(samples)
        return TrainOutput(loss=output["loss"], target_tokens=int(output["target_tokens"].sum()))

    def train_step(self, model: nn.Module, samples: Mapping[str, Any]) -> Tensor:
        """The scalar loss of a batch (LAVIS's signature)."""
        return self.train_output(model, samples).loss

    def valid_step(self, model: Any, samples: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answer a batch of B samples.

        Returns:
            B records with `sample_id`, `pred_response`, `gt_response`, `references` where the batch has them, and, for
            the validation loss, `target_loss` (mean over the sample's target tokens) and `target_tokens`.
        """
        output = model(samples)
        responses = model.generate({**samples, "prompt": samples["text_input"]}, **self.decoding)
        losses, tokens = output["per_sample_loss"].tolist(), output["target_tokens"].tolist()
        # With num_captions > 1 the answers of a sample follow one another; the first is the best.
        first_responses = responses[:: max(1, len(responses) // len(losses))]
        records = [
            {
                "sample_id": name,
                "pred_response": response,
                "gt_response": truth,
                "target_loss": loss,
                "target_tokens": n,
            }
            for name, response, truth, loss, n in zip(
                samples["sample_id"], first_responses, samples["text_output"], losses, tokens, strict=True
            )
        ]
        references = samples.get("references") or [None] * len(records)
        return [
            record | ({"references": texts} if texts else {}) for record, texts in zip(records, references, strict=True)
        ]

    @torch.no_grad()
    def evaluation(self, model: nn.Module, data_loader: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Answer a data set, each sample once, on the model's own device; all processes together.

        Args:
            model: The model.
            data_loader: An `EvaluationLoader`, or any loader over a map-style data set.
            kwargs: `result_dir`, the data set's folder, where answers are kept as they come and an interrupted
                evaluation is continued (without it nothing is kept); `dataset`, its name; `restart`, whether earlier
                answers of something else are thrown away instead of refused; `stop`, a `StopRequest` that is asked
                after every batch; LAVIS's further arguments.

        Returns:
            On rank 0 the records of all samples, in the data set's order; elsewhere an empty list.

        Raises:
            SamDataError: Nothing to compare an answer with; a sample that cannot be used; earlier answers of something
                else. The message names the samples, or both sides.
            SamConfigurationError: Out of memory; the message names the samples.
            RunStopped: On every rank, when one of them was asked to stop.
        """
        device = next(model.parameters()).device
        loader = as_evaluation_loader(data_loader, rank=distributed.rank(), world_size=distributed.world_size())
        name, folder = str(kwargs.get("dataset") or "evaluation"), kwargs.get("result_dir")
        samples = annotated(loader.dataset)
        if samples:
            check_scorable(samples, self.protocol)
        identity = None
        if folder is not None:
            identity = distributed.from_main(
                self.identity(model, loader.dataset, name) if distributed.is_main_process() else None
            )
        self._identities[str(folder)] = identity
        return answer_all(
            loader,
            lambda batch: self.valid_step(model, to_device(batch, device)),
            folder=Path(folder) if folder is not None else None,
            identity=identity,
            restart=bool(kwargs.get("restart")),
            stop=kwargs.get("stop"),
            title=name,
        )

    def identity(self, model: nn.Module, dataset: Any, name: str) -> dict[str, Any]:
        """What the answers depend on: model, weights, decoding, how images are prepared, and the data.

        Args:
            model: The model.
            dataset: The data set that it answers.
            name: The data set's name, under which the configuration speaks of it.
        """
        section = (self.config.get("datasets") or {}).get(name) or {}
        chosen = self.config.get("model") or {}
        samples = annotated(dataset)
        return {
            "model": {key: chosen[key] for key in _MODEL_KEYS if key in chosen},
            "weights": weights_fingerprint(model),
            "decoding": self.full_decoding(),
            "pictures": (section.get("vis_processor") or {}).get("eval"),
            "data": samples_fingerprint(samples, getattr(dataset, "vis_root", None)) if samples else len(dataset),
        }

    def full_decoding(self) -> dict[str, Any]:
        """Every argument of `generate`, the published defaults included."""
        return dataclasses.asdict(Decoding(**self.decoding))

    def after_evaluation(
        self, val_result: list[dict[str, Any]], split_name: str, epoch: int | str, result_dir: str | Path, **kwargs: Any
    ) -> dict[str, Any]:
        """Score the answers, and save them with their scores and how they were made (rank 0).

        Args:
            val_result: What `evaluation` returned.
            split_name: The split.
            epoch: The epoch, or "best" or "last".
            result_dir: The data set's folder; see `lavis_sam.evaluation.run_folder` for the files.
            kwargs: `dataset`, its name; by default the folder's.

        Returns:
            `samples`, `loss` (mean over target tokens), `rouge`, `cider` and `bleu4` (x100), their `protocol`,
            `predictions` (the file) and LAVIS's `agg_metrics`: the higher, the better, here the metric that
            `select_best_by` names, a loss with its sign turned.

        Raises:
            SamDataError: No sample, two with one id, or a reference that is empty.
        """
        folder = Path(result_dir)
        name = str(kwargs.get("dataset") or folder.name)
        provenance = self._provenance(self._identities.get(str(result_dir)) or {}, name, split_name)
        results, _ = write_scored(folder, val_result, dataset=name, protocol=self.protocol, provenance=provenance)
        tokens = sum(record["target_tokens"] for record in val_result)
        loss = sum(record["target_loss"] * record["target_tokens"] for record in val_result) / tokens
        metrics = {"loss": loss, **results.corpus}
        shown = "  ".join(f"{METRICS[metric].title} {value:.2f}" for metric, value in results.corpus.items())
        logger.info(
            "%s, %s: loss %.4f  %s (protocol %s) over %d samples; see %s",
            name, split_name, loss, shown, results.protocol, results.count, folder,
        )  # fmt: skip
        return {
            "samples": len(val_result),
            **metrics,
            "protocol": results.protocol,
            "predictions": str(folder / PREDICTIONS_FILE),
            "agg_metrics": -loss if self.select_best_by == "loss" else metrics[self.select_best_by],
        }

    def _provenance(self, identity: Mapping[str, Any], name: str, split: str) -> Provenance:
        model, section = self.config.get("model") or {}, (self.config.get("datasets") or {}).get(name) or {}
        return Provenance(
            model=" ".join(str(model[key]) for key in ("arch", "model_type") if model.get(key)) or None,
            weights=identity.get("weights"),
            split=split,
            prompts=(section.get("build_info") or {}).get("prompt_set"),
            decoding=self.full_decoding(),
            config={"model": model, "datasets": {name: section}} if model else None,
        )


def annotated(dataset: Any) -> list[MultiImageSample]:
    """The samples of a data set that has them at hand; none of one that has not."""
    samples = getattr(dataset, "annotation", None)
    return samples if isinstance(samples, list) and samples and isinstance(samples[0], MultiImageSample) else []


def to_device(samples: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on `device`; lists stay where they are."""
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in samples.items()
    }
