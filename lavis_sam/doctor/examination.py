"""All checks in order, and what they come to."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.doctor import environment
from lavis_sam.doctor.findings import Finding, Verdict, run_check


@dataclass(frozen=True)
class Report:
    """The findings of an examination.

    Attributes:
        model: What was to be loaded.
        findings: In the order of the checks.
    """

    model: str
    findings: tuple[Finding, ...]

    @property
    def is_fit(self) -> bool:
        """Whether nothing failed."""
        return not any(finding.verdict is Verdict.FAILURE for finding in self.findings)

    def summary(self) -> str:
        """One line."""
        counts = {verdict: sum(found.verdict is verdict for found in self.findings) for verdict in Verdict}
        word = "fit" if self.is_fit else "NOT fit"
        return (
            f"{word} for {self.model}: {counts[Verdict.FAILURE]} failures, {counts[Verdict.WARNING]} warnings, "
            f"{len(self.findings)} checks"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"model": self.model, "is_fit": self.is_fit, "findings": [vars(finding) for finding in self.findings]}


def examine(
    model: str | Path = "tiny",
    *,
    base: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    precision: str | None = None,
    datasets: Collection[str] = (),
) -> Report:
    """Look at everything that running a model needs; nothing is changed.

    Args:
        model: What shall be loaded: see `SamPredictor.from_pretrained`, as for the arguments that follow.
        base: InstructBLIP, where it is not where config and environment say.
        checkpoint: Trained layers over `model`.
        device: The device it shall run on.
        precision: Of the frozen parts.
        datasets: Data sets that have to be there.
    """
    findings: list[Finding] = []
    for name, check in (
        ("Python", environment.check_python),
        ("versions", environment.check_versions),
        ("torch with torchvision", environment.check_torchvision),
        ("plugin hook", environment.check_hook),
        ("LAVIS", environment.check_lavis),
    ):
        findings += run_check("environment", name, check)
    # From here on PyTorch is needed, whose absence has been said above.
    further: tuple[tuple[str, str, Callable[[], Iterable[Finding]]], ...] = (
        ("weights", "model", lambda: _check_model(model, base, checkpoint, device, precision)),
        ("data", "data", lambda: _check_data(datasets)),
    )
    for area, name, check_area in further:
        findings += run_check(area, name, check_area)
    return Report(str(model), tuple(findings))


def _check_model(
    model: str | Path, base: str | Path | None, checkpoint: str | Path | None, device: str | None, precision: str | None
) -> Iterator[Finding]:
    from lavis_sam.doctor import hardware, weights
    from lavis_sam.predictor.load_model import model_config

    config = model_config(model, base=base, checkpoint=checkpoint, precision=precision)
    yield from run_check(hardware.AREA, "device", lambda: hardware.check_device(config, device))
    yield from run_check(hardware.AREA, "precision", lambda: hardware.check_precision(config, device))
    yield from run_check(hardware.AREA, "memory", lambda: hardware.check_memory(config, device))
    yield from run_check(weights.AREA, "weights", lambda: weights.check_weights(config))


def _check_data(datasets: Collection[str]) -> Iterator[Finding]:
    from lavis_sam.doctor.data import check_data

    yield from check_data(datasets)
