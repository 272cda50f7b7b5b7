"""SAM on the data sets of the paper: one model, loaded once, each data set answered through the LAVIS task."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamDataError
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.benchmark import SPLIT, BenchmarkSet, check_one_model
from lavis_sam.evaluation.fingerprint import weights_fingerprint
from lavis_sam.evaluation.results import DEFAULT_PROTOCOL
from lavis_sam.evaluation.run_folder import Results, read_results
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.signals import StopRequest


class SamEvaluator:
    """Answers data sets with the model that their configurations describe, which is the same for all of them."""

    def __init__(
        self,
        sets: Sequence[BenchmarkSet],
        out: Path,
        *,
        device: torch.device,
        protocol: str = DEFAULT_PROTOCOL,
        stop: StopRequest | None = None,
    ) -> None:
        """Load the model; all processes together.

        Args:
            sets: At least one of those that are to be evaluated.
            out: The run's folder.
            device: Where the model goes.
            protocol: How answers are scored.
            stop: Is asked after every batch.

        Raises:
            SamCheckpointError: Weights are missing (all of them are listed), damaged or do not fit.
            SamDataError: The folder holds another model's results.
        """
        self._out, self._device, self._protocol, self._stop = out, device, protocol, stop
        task = self._task(sets[0])
        torch.manual_seed(RunSettings.from_config(sets[0].config.run_cfg).seed)
        self._model: nn.Module = task.build_model(sets[0].config).to(device).eval()
        problem: SamDataError | None = None
        if distributed.is_main_process():
            try:
                check_one_model(out, weights_fingerprint(self._model), task.full_decoding(), protocol)
            except SamDataError as error:
                problem = error
        problem = distributed.from_main(problem)
        if problem is not None:
            raise problem

    def __call__(self, one: BenchmarkSet) -> Results | None:
        """Answer and score one data set; continues where an interrupted run ended.

        Returns:
            On rank 0 the results; elsewhere None.

        Raises:
            SamError: See `MultiImageCaptioningTask.evaluation`.
            RunStopped: Somebody asked for the end; what was answered is kept.
        """
        task, settings = self._task(one), RunSettings.from_config(one.config.run_cfg)
        loader = EvaluationLoader(
            one.dataset(),
            settings.batch_size_eval,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            num_workers=settings.num_workers,
            pin_memory=self._device.type == "cuda",
        )
        folder = self._out / one.entry.title
        name = one.entry.name
        records = task.evaluation(self._model, loader, stop=self._stop, dataset=name, result_dir=folder)
        if not distributed.is_main_process():
            return None
        task.after_evaluation(records, SPLIT, "last", folder, dataset=name)
        return read_results(folder)

    def _task(self, one: BenchmarkSet) -> MultiImageCaptioningTask:
        decoding = one.config.run_cfg.get("decoding") or {}
        return MultiImageCaptioningTask(
            {str(name): decoding[name] for name in decoding}, protocol=self._protocol, config=one.config.to_dict()
        )
