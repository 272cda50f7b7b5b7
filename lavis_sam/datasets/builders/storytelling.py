"""Storytelling: the captions of a row of pictures but the last, whose caption is wanted."""

from lavis.common.registry import registry

from lavis_sam.datasets.builders.multi_image import MultiImageBuilder, packaged_configs


@registry.register_builder("aesop")
class AesopBuilder(MultiImageBuilder):
    """AESOP: stories of three clip-art panels."""

    FORMAT = "aesop"
    DATASET_CONFIG_DICT = packaged_configs("aesop", default="defaults.yaml")


@registry.register_builder("vist")
class VistBuilder(MultiImageBuilder):
    """VIST: stories of five photographs."""

    FORMAT = "vist"
    DATASET_CONFIG_DICT = packaged_configs("vist", default="defaults.yaml")


@registry.register_builder("dm800k")
class DM800KBuilder(MultiImageBuilder):
    """DM800K: newspaper articles of one to ten captioned pictures."""

    FORMAT = "dm800k"
    DATASET_CONFIG_DICT = packaged_configs("dm800k", default="defaults.yaml")
