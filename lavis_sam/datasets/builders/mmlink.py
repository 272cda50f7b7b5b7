"""MmLINK: the paper's training set of linked picture pairs, read from the unified annotation format."""

from lavis.common.registry import registry

from lavis_sam.datasets.builders.multi_image import MultiImageBuilder, packaged_configs


@registry.register_builder("mmlink")
class MMLinkBuilder(MultiImageBuilder):
    """MmLINK from a folder (`type: default`), or the embedded photographs (`type: photographs`)."""

    DATASET_CONFIG_DICT = packaged_configs("mmlink", default="defaults.yaml", photographs="defaults_photographs.yaml")
