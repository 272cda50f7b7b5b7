"""MmLINK: the paper's training set of linked picture pairs, read from the unified annotation format."""

from lavis.common.registry import registry

from lavis_sam.datasets.builders.multi_image import MultiImageBuilder, packaged_configs


@registry.register_builder("mmlink")
class MMLinkBuilder(MultiImageBuilder):
    """MmLINK from a folder (`type: default`), from shards, or the embedded photographs (`type: photographs`)."""

    FORMAT = "mmlink"
    DATASET_CONFIG_DICT = packaged_configs(
        "mmlink",
        default="defaults.yaml",
        shards="defaults_shards.yaml",
        photographs="defaults_photographs.yaml",
    )
