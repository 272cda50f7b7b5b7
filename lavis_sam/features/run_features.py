"""A run with a feature cache: its data sets give features, and its model lets go of the vision encoder."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.fingerprint import describe_parameter
from lavis_sam.features.crops import CachedFeatures, FixedCrops
from lavis_sam.features.fill import check_room, fill, missing_work
from lavis_sam.features.keys import content_digests, transform_fingerprint, vision_fingerprint
from lavis_sam.features.precision import entry_bytes
from lavis_sam.features.store import CacheIdentity, FeatureStore
from lavis_sam.locks import FolderBusyError
from lavis_sam.models.semantic_alignment import ReleasedFingerprints, SemanticAlignment
from lavis_sam.models.vision import ReleasedVision
from lavis_sam.weights.fingerprints import PARTS, fingerprint

logger = logging.getLogger(__name__)

# Between two looks whether another process has finished.
_SECONDS = 2.0
_VISION = "visual_encoder"


class RunFeatures:
    """The cache of a run.

    Attributes:
        store: The cache.
        sources: What the data sets' images come from.
        computed: Entries that `prepare` computed, over all processes.
    """

    def __init__(self, settings: RunSettings, store: FeatureStore, sources: list[CachedFeatures]) -> None:
        self.settings, self.store, self.sources = settings, store, sources
        self.computed = 0

    def prepare(self, model: torch.nn.Module, device: torch.device) -> None:
        """Compute what is missing, all processes together, and let go of the vision encoder.

        Only one run at a time adds to a cache; another one waits, and then finds what it needs.

        Args:
            model: The model, whose vision encoder is moved to `device` if there is something to compute.

        Raises:
            SamConfigurationError: It does not fit on the disk, or into run.feature_cache_gb.
        """
        model_: Any = model
        while distributed.from_main(bool(missing_work(self.sources, self.store))):
            try:
                with distributed.locked_by_main(self.store.folder, "or name another run.feature_cache."):
                    self._fill(model_, device)
                break
            except FolderBusyError:
                logger.info("%s: another process adds features; waiting for it", self.store.folder)
                time.sleep(_SECONDS)
                self.store.refresh()
        release_vision(model_)
        self._log()

    def _fill(self, model: Any, device: torch.device) -> None:
        problem: SamConfigurationError | None = None
        if distributed.is_main_process():
            try:
                self.store.begin()
                count = sum(len(work.keys) for work in missing_work(self.sources, self.store))
                check_room(self.store.folder, count, self.store, self.settings.feature_cache_gb)
            except SamConfigurationError as error:
                problem = error
        problem = distributed.from_main(problem)
        if problem is not None:
            raise problem
        self.store.refresh()
        modules = [module.to(device) for module in (model.visual_encoder, model.ln_vision)]
        work = missing_work(self.sources, self.store)
        written = fill(
            work,
            self.store,
            lambda images: modules[1](modules[0](images.to(device))),
            num_workers=self.settings.num_workers,
        )
        self.computed = int(distributed.sum_over_ranks([written])[0])
        self.store.refresh()

    def _log(self) -> None:
        if not distributed.is_main_process():
            return
        identity, error = self.store.identity, self.store.error
        size = len(self.store) * entry_bytes(identity.patches, identity.width, identity.precision)
        logger.info(
            "feature cache %s: computed %d entries, holds %d (%.2f GB, %s); relative error of what is stored %.2g, "
            "largest %.2g",
            self.store.folder, self.computed, len(self.store), size / 1e9, identity.precision,
            error.relative, error.largest,
        )  # fmt: skip


def connect_features(
    settings: RunSettings, datasets: Mapping[str, Mapping[str, Any]], model: Any
) -> RunFeatures | None:
    """Let a run's data sets draw fixed crops, or give features, as its settings say; nothing is computed or written.

    Args:
        datasets: Data set name -> split -> data set.
        model: The model, with its weights.

    Returns:
        The cache, to be prepared before the first batch; None where the run has none.

    Raises:
        SamConfigurationError: A cache of something else; a model or data that no cache can serve.
        SamDataError: The cache is damaged.
    """
    if settings.feature_cache is None and settings.feature_crops is None:
        return None
    crops = _crop_sources(settings, datasets)
    if settings.feature_cache is None:
        for source in crops.values():
            source.dataset.source = source
        return None
    _check_model(model)
    encoder = model.visual_encoder
    identity = CacheIdentity(
        weights=distributed.from_main(
            vision_fingerprint([encoder, model.ln_vision]) if distributed.is_main_process() else None
        ),
        precision=settings.feature_cache_precision,
        patches=encoder.patch_embed.num_patches + 1,
        width=encoder.num_features,
        transforms=_transforms(crops),
    )
    store = FeatureStore(Path(settings.feature_cache), identity)
    sources = []
    for source in crops.values():
        cached = CachedFeatures(source.dataset, source.digests, source.transform, source.crops, store)
        source.dataset.source = cached
        sources.append(cached)
    features = RunFeatures(settings, store, sources)
    # Where all is there, the encoder need not even come to the GPU.
    if not distributed.from_main(bool(missing_work(sources, store))):
        release_vision(model)
    return features


def _crop_sources(
    settings: RunSettings, datasets: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], FixedCrops]:
    """Return (data set, split) -> its fixed crops, for the splits that the run uses.

    Raises:
        SamConfigurationError: A data set whose images have no place, or random crops without a number of them.
    """
    trains = not settings.evaluate and settings.max_epoch > 0
    used = [*(settings.train_splits if trains else []), *settings.test_splits]
    used += [] if settings.evaluate else settings.valid_splits
    found = {}
    for name, split in ((name, split) for name in datasets for split in dict.fromkeys(used)):
        dataset = datasets[name].get(split)
        if dataset is None:
            continue
        if not isinstance(dataset, MultiImageDataset):
            raise SamConfigurationError(
                f"run.feature_cache, run.feature_crops: datasets.{name} is a {type(dataset).__name__}, which does not "
                "tell its images before they come; wanted images or shards on a disk (type: shards, not webdataset)."
            )
        transform, is_random = transform_fingerprint(dataset.vis_processor)
        if is_random and settings.feature_crops is None:
            raise SamConfigurationError(
                f"run.feature_cache: the images of datasets.{name}, split {split}, are cropped at random; say "
                "run.feature_crops=4 for four fixed crops of each image, drawn anew every epoch, or name a "
                "vis_processor without chance (blip_image_eval)."
            )
        digests = distributed.from_main(content_digests(dataset) if distributed.is_main_process() else None)
        crops = (settings.feature_crops or 1) if is_random else 1
        found[name, split] = FixedCrops(dataset, digests, transform, crops)
    return found


def _transforms(crops: Mapping[tuple[str, str], FixedCrops]) -> dict[str, str]:
    return {
        f"{name}/{'train' if split == 'train' else 'eval'}": source.transform for (name, split), source in crops.items()
    }


def _check_model(model: Any) -> None:
    if not isinstance(model, SemanticAlignment):
        raise SamConfigurationError(
            f"run.feature_cache: the model is a {type(model).__name__}, wanted one with SAM's vision encoder "
            "(arch: blip2_vicuna_sam); remove the setting."
        )
    trained = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name.startswith((f"{_VISION}.", "ln_vision."))
    ]
    if trained:
        raise SamConfigurationError(
            f"run.feature_cache: this run trains the vision encoder ({trained[0]}, …), whose features change with "
            "every step; remove the setting, or set model.trainable to something above the encoder."
        )


def release_vision(model: SemanticAlignment) -> None:
    """Let go of a model's vision encoder; its fingerprints stay what they were."""
    encoder: Any = model.visual_encoder
    if isinstance(encoder, ReleasedVision):
        return
    parameters = {
        name: describe_parameter(name, parameter)
        for name, parameter in model.named_parameters()
        if name.startswith(f"{_VISION}.")
    }
    parts = {part: numbers for part, numbers in fingerprint(model).items() if PARTS[part].startswith(f"{_VISION}.")}
    model.released = ReleasedFingerprints(parameters, parts)
    model.visual_encoder = ReleasedVision(encoder)  # type: ignore[assignment]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
