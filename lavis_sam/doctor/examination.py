"""All checks in order, and what they come to."""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.doctor import environment
from lavis_sam.doctor.findings import Finding, Verdict, run_check
from lavis_sam.imports import fast_imports


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
        """Return one line."""
        counts = {verdict: sum(found.verdict is verdict for found in self.findings) for verdict in Verdict}
        word = "fit" if self.is_fit else "NOT fit"
        return (
            f"{word} for {self.model}: {counts[Verdict.FAILURE]} failures, {counts[Verdict.WARNING]} warnings, "
            f"{len(self.findings)} checks"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything, as plain data."""
        return {"model": self.model, "is_fit": self.is_fit, "findings": [vars(finding) for finding in self.findings]}


def examine(
    model: str | Path = "tiny",
    *,
    base: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    precision: str | None = None,
    settings: Mapping[str, Any] | None = None,
    datasets: Collection[str] = (),
) -> Report:
    """Look at everything that running a model needs; nothing is changed.

    Args:
        model: What shall be loaded: see `SamPredictor.from_pretrained`, as for the arguments that follow.
        base: InstructBLIP, where it is not where config and environment say.
        checkpoint: Trained layers over `model`.
        device: The device it shall run on.
        precision: Of the frozen parts.
        settings: Further keys of the config's `model` node.
        datasets: Data sets that have to be there.
    """
    # Starting LAVIS takes longer than all else; a process of its own does it meanwhile.
    # A name of its own, not the loop's `check`: the thread may start only after the loop below.
    check_libraries = environment.check_libraries
    libraries = ThreadPoolExecutor(1).submit(lambda: list(run_check("environment", "LAVIS", check_libraries)))
    findings: list[Finding] = []
    with fast_imports():
        for name, check in (
            ("Python", environment.check_python),
            ("versions", environment.check_versions),
            ("plugin hook", environment.check_hook),
        ):
            findings += run_check("environment", name, check)
    place_of_libraries = len(findings)

    # From here on PyTorch is needed, whose absence has been said above.
    def check_model() -> Iterator[Finding]:
        """Look at the device and the weights of the model."""
        with fast_imports():
            from lavis_sam.doctor import device_map, hardware, weights
            from lavis_sam.predictor.load_model import model_config

        config = model_config(model, base=base, checkpoint=checkpoint, precision=precision, settings=settings)
        yield from run_check(hardware.AREA, "device", lambda: hardware.check_device(config, device))
        yield from run_check(hardware.AREA, "precision", lambda: hardware.check_precision(config, device))
        yield from run_check(hardware.AREA, "memory", lambda: hardware.check_memory(config, device))
        sample = device_map.Load(images=hardware.IMAGES, text_tokens=hardware.TEXT_TOKENS)
        spread = device_map.check_device_map
        yield from run_check(hardware.AREA, device_map.CHECK, lambda: spread(config, device, sample))
        yield from run_check(weights.AREA, "weights", lambda: weights.check_weights(config))

    def check_data() -> Iterator[Finding]:
        from lavis_sam.doctor import data

        yield from data.check_data(datasets)

    findings += run_check("weights", "model", check_model)
    findings += run_check("data", "data", check_data)
    findings[place_of_libraries:place_of_libraries] = libraries.result()
    return Report(str(model), tuple(findings))
