"""Each tiny model is written once for all tests that read it."""

import pytest

from helpers import synthesis_models
from helpers.vision_language import write_instructblip

WRITERS = {
    "segment_anything": synthesis_models.write_segment_anything,
    "segment_anything_2": synthesis_models.write_segment_anything_2,
    "clip": synthesis_models.write_clip,
    "siglip": synthesis_models.write_siglip,
    "stable_diffusion": synthesis_models.write_stable_diffusion,
    "stable_diffusion_xl": synthesis_models.write_stable_diffusion_xl,
    "flux_fill": synthesis_models.write_flux_fill,
    "instructblip": write_instructblip,
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """Name -> the folder of that model."""
    written = {}

    def folder(name):
        if name not in written:
            written[name] = str(WRITERS[name](tmp_path_factory.mktemp("models") / name))
        return written[name]

    return folder
