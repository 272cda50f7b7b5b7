"""Group captioning: several pictures, and the caption that fits all of them."""

from lavis.common.registry import registry

from lavis_sam.datasets.builders.multi_image import MultiImageBuilder, packaged_configs


@registry.register_builder("conceptual")
class ConceptualBuilder(MultiImageBuilder):
    """Groups of five pictures from Conceptual Captions."""

    FORMAT = "conceptual"
    DATASET_CONFIG_DICT = packaged_configs("conceptual", default="defaults.yaml")


@registry.register_builder("nico_animal")
class NicoAnimalBuilder(MultiImageBuilder):
    """NICO's ten animals, in groups of pictures of one animal."""

    FORMAT = "nico_animal"
    DATASET_CONFIG_DICT = packaged_configs("nico_animal", default="defaults.yaml")


@registry.register_builder("nico_vehicle")
class NicoVehicleBuilder(MultiImageBuilder):
    """NICO's nine vehicles, in groups of pictures of one vehicle."""

    FORMAT = "nico_vehicle"
    DATASET_CONFIG_DICT = packaged_configs("nico_vehicle", default="defaults.yaml")
