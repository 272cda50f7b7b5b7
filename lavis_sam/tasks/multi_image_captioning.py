"""The LAVIS task `multi_image_captioning`: train on instruction and answer, caption by generation."""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lavis.common.registry import registry
from lavis.tasks.base_task import BaseTask
from torch import Tensor, nn

from lavis_sam import distributed
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import write_json
from lavis_sam.models.generation import Decoding
from lavis_sam.names import registered_class, unknown_name
from lavis_sam.stopping import RunStopped

logger = logging.getLogger(__name__)

PREDICTIONS_FILE = "pred.json"


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
    """Captioning of several pictures by one text.

    Attributes:
        decoding: Keyword arguments of the model's `generate`; what is not given keeps the published default.
    """

    def __init__(self, decoding: Mapping[str, Any] | None = None) -> None:
        """Check the decoding arguments.

        Raises:
            SamConfigurationError: An unknown argument, or an impossible value.
        """
        super().__init__()
        self.inst_id_key = "sample_id"
        self.decoding = dict(decoding or {})
        known = [entry.name for entry in dataclasses.fields(Decoding)]
        unknown = [unknown_name("key", name, known, "run.decoding") for name in self.decoding if name not in known]
        if unknown:
            raise SamConfigurationError("\n".join(unknown))
        Decoding(**self.decoding)

    @classmethod
    def setup_task(cls, cfg: Any, **kwargs: Any) -> "MultiImageCaptioningTask":
        """Build from a configuration; `run.decoding` holds arguments of `generate`."""
        decoding = cfg.run_cfg.get("decoding") or {}
        return cls(decoding={str(name): decoding[name] for name in decoding})

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
            B records with `sample_id`, `pred_response`, `gt_response`, and, for the validation loss, `target_loss`
            (mean over the sample's target tokens) and `target_tokens`.
        """
        output = model(samples)
        responses = model.generate({**samples, "prompt": samples["text_input"]}, **self.decoding)
        losses, tokens = output["per_sample_loss"].tolist(), output["target_tokens"].tolist()
        # With num_captions > 1 the answers of a sample follow one another; the first is the best.
        first_responses = responses[:: max(1, len(responses) // len(losses))]
        return [
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

    @torch.no_grad()
    def evaluation(
        self, model: nn.Module, data_loader: Iterable[dict[str, Any]], **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Answer every batch of a loader, on the model's own device.

        Args:
            model: The model.
            data_loader: This process's batches.
            kwargs: `stop`, a `StopRequest` that is asked after every batch; LAVIS's further arguments.

        Returns:
            On rank 0 the records of all ranks, in the loader's order of samples; elsewhere an empty list.

        Raises:
            RunStopped: On every rank, when one of them was asked to stop.
        """
        device = next(model.parameters()).device
        stop = kwargs.get("stop")
        records: list[dict[str, Any]] = []
        for samples in data_loader:
            records.extend(self.valid_step(model, to_device(samples, device)))
            logger.info("captioned %d samples", len(records))
            if stop is not None and stop.name is not None:
                break
        if distributed.sum_over_ranks([float(stop is not None and stop.name is not None)])[0] > 0:
            raise RunStopped
        by_rank = distributed.gather_on_main(records)
        return interleaved(by_rank) if by_rank is not None else []

    def after_evaluation(
        self, val_result: list[dict[str, Any]], split_name: str, epoch: int | str, result_dir: str | Path, **kwargs: Any
    ) -> dict[str, Any]:
        """Save the predictions and sum up (rank 0).

        Args:
            val_result: What `evaluation` returned.
            split_name: The split, for messages.
            epoch: The epoch, or "best" or "last".
            result_dir: The folder of `pred.json`.

        Returns:
            `samples`, `loss` (mean over target tokens), `predictions` (the file) and LAVIS's `agg_metrics`: the higher,
            the better, here the negative loss.

        Raises:
            SamDataError: No sample, or two with one id.
        """
        path = self.save_result(val_result, result_dir)
        tokens = sum(record["target_tokens"] for record in val_result)
        loss = sum(record["target_loss"] * record["target_tokens"] for record in val_result) / tokens
        logger.info("%s: loss %.4f over %d samples; predictions in %s", split_name, loss, len(val_result), path)
        return {"samples": len(val_result), "loss": loss, "predictions": str(path), "agg_metrics": -loss}

    @staticmethod
    def save_result(
        result: list[dict[str, Any]],
        result_dir: str | Path,
        filename: str = PREDICTIONS_FILE,
        remove_duplicate: str = "",
    ) -> Path:
        """Write predictions in the authors' exchange format, atomically.

        Args:
            result: Records with `sample_id`, `pred_response` and `gt_response`; further keys are dropped.
            result_dir: The folder.
            filename: The file's name.
            remove_duplicate: LAVIS's argument; duplicates are an error here and never removed.

        Raises:
            SamDataError: No record, or two of one id.
        """
        if not result:
            raise SamDataError(f"{filename}: found 0 predictions, wanted at least one; is the split empty?")
        seen: set[str] = set()
        for record in result:
            if str(record["sample_id"]) in seen:
                raise SamDataError(f"{filename}: sample id {record['sample_id']!r} was predicted twice.")
            seen.add(str(record["sample_id"]))
        path = Path(result_dir) / filename
        write_json(path, [{k: r[k] for k in ("sample_id", "pred_response", "gt_response")} for r in result])
        return path


def interleaved(by_rank: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Undo the split of samples over ranks, where rank r has the samples r, r + world size, r + 2 * world size, …"""
    longest = max(map(len, by_rank), default=0)
    return [records[i] for i in range(longest) for records in by_rank if i < len(records)]


def to_device(samples: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on `device`; lists stay where they are."""
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in samples.items()
    }
