"""Guidance images of a sweep's cases: what the trained layers of a row look at in the other images of each sample."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from PIL import Image

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.predictor.sam_predictor import SamPredictor
from lavis_sam.progress import tracked
from lavis_sam.run_layout import checkpoint_of, config_of

# Set and sample of a case -> each row that was asked for, with its image.
GuidanceImages = Mapping[tuple[str, str], Sequence[tuple[str, Image.Image]]]


def guidance_images(
    out: Path, found: Mapping[str, Any], rows: Iterable[str], samples: Mapping[tuple[str, str], EvaluationSample]
) -> GuidanceImages:
    """Draw what guides what in the cases of a sweep, by the layers that each of some rows trained.

    One model is in memory at a time.

    Args:
        out: The sweep's folder.
        found: Its `findings`.
        rows: Names of rows.
        samples: Set and sample of a case -> its images and question; cases without them get no image.

    Raises:
        SamConfigurationError: There is no such row, or nothing guides in it.
        SamCheckpointError: The checkpoint of its run is gone.
        SamDataError: A sample cannot be explained.
    """
    chosen = list(dict.fromkeys(rows))
    for row in chosen:
        _check(out, row, found)
    drawn: dict[tuple[str, str], list[tuple[str, Image.Image]]] = {}
    for row in chosen:
        for key, image in _draw(out, row, found["cases"], samples):
            drawn.setdefault(key, []).append((row, image))
    return drawn


def _check(out: Path, row: str, found: Mapping[str, Any]) -> None:
    """Refuse a row before the first model is loaded."""
    if row not in found["rows"]:
        raise SamConfigurationError(unknown_name("row", row, found["rows"], str(out)))
    if row not in found["curves"]:
        raise SamConfigurationError(f"{row}: this row trains nothing, so nothing guides in it; name one that trains.")
    if found["options"][row].get("model.guidance.extractor") == "none":
        raise SamConfigurationError(f"{row}: its model.guidance.extractor is none, so nothing guides in it.")
    for seed in sorted({case["seed"] for case in found["cases"]}):
        checkpoint_of(out / row / f"seed-{seed}")


def _draw(
    out: Path, row: str, cases: Sequence[Mapping[str, Any]], samples: Mapping[tuple[str, str], EvaluationSample]
) -> Iterator[tuple[tuple[str, str], Image.Image]]:
    """Yield the image of every case, by one row; the model of a seed is loaded once."""
    by_seed: dict[int, list[tuple[str, str]]] = {}
    for case in cases:
        if (key := (case["set"], case["sample"])) in samples:
            by_seed.setdefault(case["seed"], []).append(key)
    for seed, keys in by_seed.items():
        run = out / row / f"seed-{seed}"
        # A run's own base comes first: its checkpoint holds the trained layers alone.
        predictor = SamPredictor.from_pretrained(run, base=OmegaConf.load(config_of(run)).model.get("pretrained"))
        for key in tracked(keys, f"{row}, seed {seed}: guidance images", len(keys)):
            sample = samples[key]
            try:
                explained = predictor.explain(list(sample.images), sample.instruction)
            except SamDataError as error:
                raise SamDataError(f"{key[0]}, {key[1]}: {error}") from error
            yield key, explained.draw()
