"""All that a run takes batches from: its training data and the loaders of its evaluation splits."""

from collections.abc import Mapping
from typing import Any

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.training.loaders import datasets_by_split, evaluation_loader
from lavis_sam.training.training_data import build_training_data


def build_run_data(
    datasets: Mapping[str, Mapping[str, Any]], settings: RunSettings, *, pin_memory: bool
) -> dict[str, Any]:
    """What this process takes batches from, for the splits that the run uses.

    Args:
        datasets: Data set name -> split -> data set.
        settings: The `run` section.
        pin_memory: Whether batches go to a GPU.

    Returns:
        "train" -> `TrainingData` over all training sets (unless the run only evaluates); evaluation split -> data set
        name -> loader.

    Raises:
        SamConfigurationError: A split that no data set has.
        SamDataError: An empty training split.
    """
    options = {"num_workers": settings.num_workers, "pin_memory": pin_memory}
    place: dict[str, Any] = {"rank": distributed.rank(), "world_size": distributed.world_size()}
    found: dict[str, Any] = {}
    if not settings.evaluate and settings.max_epoch > 0:
        by_split = datasets_by_split(datasets, settings.train_splits)
        parts: list[Any] = [part for by_name in by_split.values() for part in by_name.values()]
        found["train"] = build_training_data(
            parts,
            batch_size=settings.batch_size_train,
            seed=settings.seed,
            batching=settings.batching,
            **place,
            **options,
        )
    splits = [*([] if settings.evaluate else settings.valid_splits), *settings.test_splits]
    for split, by_name in datasets_by_split(datasets, splits).items():
        found[split] = {
            name: evaluation_loader(dataset, settings.batch_size_eval, **place, **options)
            for name, dataset in by_name.items()
        }
    return found
