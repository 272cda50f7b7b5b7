"""The LAVIS task `multi_image_captioning`: train on instruction and answer, caption by generation."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lavis.common.registry import registry
from lavis.tasks.base_task import BaseTask
from torch import Tensor, nn

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.evaluate import answer_samples, check_answers, write_scored
from lavis_sam.evaluation.run_folder import DEFAULT_PROTOCOL, PREDICTIONS_FILE
from lavis_sam.evaluation.sam_model import SamModel, sam_provenance
from lavis_sam.metrics.protocols import METRICS
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.w_former import is_trained
from lavis_sam.plugin.registry import registered_class
from lavis_sam.training.steps import TrainOutput

logger = logging.getLogger(__name__)


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
        self._described: dict[str, Mapping[str, Any]] = {}
        self._is_trained: bool | None = None
        if select_best_by not in ("loss", *METRICS):
            raise SamConfigurationError(
                unknown_name("metric", select_best_by, ["loss", *METRICS], "run.select_best_by")
            )
        Decoding.from_mapping(self.decoding, "run.decoding")

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
        """Return the model that `model.arch` names.

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
        """Forward a batch of B samples (see `collate_multi_image`) for training."""
        output = model(samples)
        return TrainOutput(output["loss"], int(output["target_tokens"].sum()), output.get("losses", {}))

    def train_step(self, model: nn.Module, samples: Mapping[str, Any]) -> Tensor:
        """Return the scalar loss of a batch (LAVIS's signature)."""
        return self.train_output(model, samples).loss

    def valid_step(self, model: Any, samples: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answer a batch of B samples; see `SamModel.records`."""
        return self._sam(model).records(samples)

    def evaluation(self, model: nn.Module, data_loader: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """Answer a data set, each sample once, on the model's own device; all processes together.

        Args:
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
        loader = data_loader if isinstance(data_loader, EvaluationLoader) else EvaluationLoader.like(data_loader)
        name, folder = str(kwargs.get("dataset") or "evaluation"), kwargs.get("result_dir")
        self._is_trained = is_trained(model)
        records, self._described[str(folder)] = answer_samples(
            loader,
            self._sam(model, name),
            folder,
            name=name,
            protocol=self.protocol,
            restart=bool(kwargs.get("restart")),
            stop=kwargs.get("stop"),
        )
        return records

    def check_evaluation(
        self, model: nn.Module, data_loader: EvaluationLoader, *, dataset: str, result_dir: Path
    ) -> None:
        """Refuse, before anything is written, what `evaluation` would refuse; all processes together.

        Raises:
            SamDataError: Data that cannot be scored, or earlier answers of something else.
        """
        check_answers(data_loader, self._sam(model, dataset), result_dir, protocol=self.protocol)

    def _sam(self, model: nn.Module, dataset: str = "evaluation") -> SamModel:
        return SamModel(model, Decoding(**self.decoding), config=self.config, dataset=dataset)

    def after_evaluation(
        self, val_result: list[dict[str, Any]], split_name: str, epoch: int | str, result_dir: str | Path, **kwargs: Any
    ) -> dict[str, Any]:
        """Score the answers, and save them with their scores and how they were made (rank 0).

        Args:
            val_result: What `evaluation` returned.
            epoch: The epoch, or "best" or "last".
            result_dir: The data set's folder; see `lavis_sam.evaluation.run_folder` for the files.
            kwargs: `dataset`, its name; by default the folder's.

        Returns:
            `samples`, `loss` (mean over target tokens), every metric (`rouge`, … x100), their `protocol`,
            `predictions` (the file) and LAVIS's `agg_metrics`: the higher, the better, here the metric that
            `select_best_by` names, a loss with its sign turned.

        Raises:
            SamDataError: No sample, two with one id, or a reference that is empty.
        """
        folder = Path(result_dir)
        name = str(kwargs.get("dataset") or folder.name)
        weights = self._described.get(str(result_dir), {}).get("weights")
        decoding = Decoding(**self.decoding)
        provenance = sam_provenance(
            self.config, name, decoding, weights=weights, split=split_name, is_trained=self._is_trained
        )
        results = write_scored(folder, val_result, dataset=name, protocol=self.protocol, provenance=provenance)
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
