"""Change captioning: two similar pictures, and what tells them apart."""

from lavis.common.registry import registry

from lavis_sam.datasets.builders.multi_image import MultiImageBuilder, packaged_configs


@registry.register_builder("spot_the_diff")
class SpotTheDiffBuilder(MultiImageBuilder):
    """Spot-the-Diff: two frames of one surveillance camera."""

    FORMAT = "spot_the_diff"
    DATASET_CONFIG_DICT = packaged_configs("spot_the_diff", default="defaults.yaml")


@registry.register_builder("clevr_change")
class ClevrChangeBuilder(MultiImageBuilder):
    """CLEVR-Change: a rendered scene, and the same scene changed or seen from elsewhere."""

    FORMAT = "clevr_change"
    DATASET_CONFIG_DICT = packaged_configs("clevr_change", default="defaults.yaml")


@registry.register_builder("birds_to_words")
class BirdsToWordsBuilder(MultiImageBuilder):
    """Birds-to-Words: photographs of two species."""

    FORMAT = "birds_to_words"
    DATASET_CONFIG_DICT = packaged_configs("birds_to_words", default="defaults.yaml")


@registry.register_builder("iedit")
class IEditBuilder(MultiImageBuilder):
    """IEdit: a picture before and after an edit, and the request for it."""

    FORMAT = "iedit"
    DATASET_CONFIG_DICT = packaged_configs("iedit", default="defaults.yaml")
