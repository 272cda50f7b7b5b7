"""The builders of LAVIS, one for each entry of the catalogue: from a configuration node to data sets by split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from lavis.common.registry import registry
from lavis.datasets.builders.base_dataset_builder import BaseDatasetBuilder
from lavis.processors.base_processor import BaseProcessor
from omegaconf import OmegaConf

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.annotations import accept
from lavis_sam.datasets.catalogue import CATALOGUE, DatasetEntry, add_entry
from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.datasets.formats.release import SPLITS
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards import open_shards
from lavis_sam.datasets.shards.stream import SHUFFLE_BUFFER, ShardStream
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import PACKAGE_ROOT, expand_storage, is_remote, storage_path
from lavis_sam.plugin.registry import registered_class

# The `data_type`s of configurations whose annotations are shards: read by their places, and streamed.
SHARDS, WEBDATASET = "shards", "webdataset"
# LAVIS's text processors that rewrite texts; the prompts and answers of this project must not pass through them.
_REWRITING_PROCESSORS = ("blip_caption", "blip_question")


class MultiImageBuilder(BaseDatasetBuilder):
    """Builds a `MultiImageDataset` for every split that `build_info.annotations` names.

    `register_dataset` makes and registers the subclass of a data set. Nothing is ever downloaded. Under `build_info`:

    - `<data_type>.storage`: the folder of images; `annotations.<split>.storage`: files or folders of annotations.
      With `data_type: shards` there is no such folder, and the latter are folders of shards; with
      `data_type: webdataset`, the training split's are whatever webdataset opens (see `ShardStream`), with `prompt`,
      `samples` and `shuffle_buffer` beside them;
    - `form`: "auto" (look), "unified", or "release", the files as the data set's authors give them out;
    - `prompt_set`: the instructions that a release's samples get; `options`: what its format lets one choose;
    - `check`: how closely to look at the images before the run, "paths", "quick" or "full";
    - `strict`: false drops bad samples and says so in the log, true makes them an error.

    Beside `build_info`, `sample_ratio` is the training split's share among several data sets (see `MixedOrder`).
    """

    train_dataset_cls = MultiImageDataset
    eval_dataset_cls = MultiImageDataset
    DATASET_CONFIG_DICT: ClassVar[dict[str, str]]
    FORMAT: ClassVar[str]

    @classmethod
    def default_config_path(cls, type: str = "default") -> str:
        """Return the path of the packaged configuration.

        Raises:
            SamConfigurationError: No such type; the message lists the valid ones.
        """
        if type not in cls.DATASET_CONFIG_DICT:
            raise SamConfigurationError(unknown_name("type", type, cls.DATASET_CONFIG_DICT, "datasets.*.type"))
        return cls.DATASET_CONFIG_DICT[type]

    def _download_data(self) -> None:
        """Do nothing: images and annotations are brought by the user."""

    @staticmethod
    def _build_proc_from_cfg(cfg: Any) -> BaseProcessor:
        """Build a processor from its node; no node means that items stay as they are."""
        if cfg is None:
            return BaseProcessor()
        return registered_class("processor", cfg.get("name"), "datasets.*.*_processor.name").from_config(cfg)

    def build(self) -> dict[str, MultiImageDataset | ShardStream]:
        """Return split name ("train", "val", "test") -> data set.

        Raises:
            SamConfigurationError: A processor that rewrites texts, an unknown split, or a missing key.
            SamDataError: Annotations that cannot be read, or, if `strict`, any problem in them.
        """
        self._check_processors()
        self.build_processors()
        datasets: dict[str, MultiImageDataset | ShardStream] = {}
        for split, info in self._required("build_info.annotations").items():
            if split not in SPLITS:
                raise SamConfigurationError(unknown_name("split", split, SPLITS, "datasets.*.build_info.annotations"))
            if info is None:  # a project switches a packaged split off with `test: null`
                continue
            storages = [info.storage] if isinstance(info.storage, str) else list(info.storage)
            if self.data_type == WEBDATASET and split == "train":
                datasets[split] = self._stream(storages)
            else:
                datasets[split] = self._dataset(split, self._local(split, storages))
        return datasets

    def _local(self, split: str, storages: Sequence[str]) -> list[Path]:
        """Return the paths of a split's storages.

        Raises:
            SamConfigurationError: They are no paths.
        """
        if self.data_type != WEBDATASET:
            return [storage_path(storage) for storage in storages]
        places = [place for storage in storages for place in expand_storage(storage)]
        if remote := [place for place in places if is_remote(place)]:
            raise SamConfigurationError(
                f"datasets.*.build_info.annotations.{split}.storage: found {remote[0]!r}, wanted shards on a disk: an "
                "evaluation asks for every sample by its place, once. Copy the shards, or name annotations."
            )
        return list(map(Path, places))

    def _stream(self, storages: Sequence[str]) -> ShardStream:
        """Return the training split of `data_type: webdataset`."""
        info = self.config.build_info
        return ShardStream(
            [place for storage in storages for place in expand_storage(storage)],
            self.vis_processors["train"],
            text_processor=self.text_processors["train"],
            prompt=info.get("prompt"),
            samples=info.get("samples"),
            shuffle_buffer=info.get("shuffle_buffer", SHUFFLE_BUFFER),
        )

    def _dataset(self, split: str, paths: Sequence[Path]) -> MultiImageDataset:
        """Return a split's data set, from annotation files or from shards."""
        kind = "train" if split == "train" else "eval"
        transform, text_processor = self.vis_processors[kind], self.text_processors[kind]
        info = self.config.build_info
        if self.data_type in (SHARDS, WEBDATASET):
            options = {"check": info.get("check", "quick"), "prompt": info.get("prompt")}
            strict = bool(info.get("strict", False))
            dataset = open_shards(paths, transform, text_processor=text_processor, strict=strict, **options)
        else:
            root = storage_path(self._required(f"build_info.{self.data_type}.storage"))
            dataset_class = self.train_dataset_cls if kind == "train" else self.eval_dataset_cls
            samples = self._read(paths, root, split=split)
            dataset = dataset_class(samples, FolderImages(root), transform, text_processor=text_processor)
        dataset.sample_ratio = self.config.get("sample_ratio")
        return dataset

    def _read(self, paths: Sequence[Path], root: Path, *, split: str) -> list[MultiImageSample]:
        """Return the samples of a split, as `build_info` wants them read."""
        info = self.config.build_info
        report = read_dataset(
            self.FORMAT,
            paths,
            root,
            split=split,
            form=info.get("form", "auto"),
            prompt_set=info.get("prompt_set", "default"),
            check=info.get("check", "quick"),
            options=OmegaConf.to_container(info.get("options") or OmegaConf.create(), resolve=True),
        )
        place = f"{self.FORMAT}, split {split}, {', '.join(map(str, paths))} (images under {root})"
        return accept(report, place, strict=bool(info.get("strict", False)))

    def _check_processors(self) -> None:
        for kind in ("train", "eval"):
            self._required(f"vis_processor.{kind}.name")
        for kind, cfg in (self.config.get("text_processor") or {}).items():
            name = cfg.get("name") if cfg is not None else None
            if name in _REWRITING_PROCESSORS:
                raise SamConfigurationError(
                    f"datasets.*.text_processor.{kind}.name: found {name!r}, which lower-cases texts and strips their "
                    "punctuation; it would destroy `{image#1}Caption#1:`. Use 'sam_text'."
                )

    def _required(self, key: str) -> Any:
        node = self.config
        for part in key.split("."):
            node = node.get(part) if node is not None else None
        if node is None:
            raise SamConfigurationError(f"datasets.*.{key}: missing; the packaged configurations show its form.")
        return node


def register_dataset(entry: DatasetEntry) -> type[MultiImageBuilder]:
    """Make a data set of one's own known: to the readers and commands by its entry, to LAVIS by a builder.

    Returns:
        The builder.

    Raises:
        SamConfigurationError: The name is taken.
    """
    add_entry(entry)
    return _register_builder(entry)


def _register_builder(entry: DatasetEntry) -> type[MultiImageBuilder]:
    """Make the builder of an entry, by its name a class of this module, and register it with LAVIS."""
    folder = PACKAGE_ROOT / "configs" / "datasets" / entry.name
    body = {
        "__doc__": entry.about,
        "__module__": __name__,
        "FORMAT": entry.name,
        # Absolute paths pass through LAVIS's path joining.
        "DATASET_CONFIG_DICT": {kind: str(folder / file) for kind, file in entry.configs.items()},
    }
    builder: type[MultiImageBuilder] = type(entry.builder, (MultiImageBuilder,), body)
    globals()[entry.builder] = builder
    return registry.register_builder(entry.name)(builder)


for _entry in CATALOGUE.values():
    _register_builder(_entry)
