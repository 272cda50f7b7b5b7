"""The registered model `blip2_vicuna_sam`: `SemanticAlignment` with the face that LAVIS expects of a model.

Importing it registers it, which needs LAVIS; so nothing else is here.
"""

from collections.abc import Mapping
from typing import Any

from lavis.common.registry import registry
from lavis.models.base_model import BaseModel

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.plugin.question_answering import AnswersQuestions
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.device_map import main_device, read_device_map
from lavis_sam.weights.packaged import DEFAULT_MODEL_TYPE, MODEL_CONFIGS
from lavis_sam.weights.trained import load_trained


@registry.register_model("blip2_vicuna_sam")
class Blip2VicunaSAM(AnswersQuestions, SemanticAlignment, BaseModel):
    """SAM as LAVIS builds, loads and names it; `forward` and `generate` are `SemanticAlignment`'s."""

    PRETRAINED_MODEL_CONFIG_DICT = MODEL_CONFIGS

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any]) -> "Blip2VicunaSAM":
        """Build the model that the `model` node of a config describes, with its weights; see `build_model`.

        Raises:
            SamConfigurationError: An impossible setting.
            SamCheckpointError: Files are missing (all of them are listed), damaged or of another architecture.
        """
        return build_model(cfg, model_class=cls, device=main_device() if read_device_map(cfg) else "cpu")

    @classmethod
    def default_config_path(cls, model_type: str | None = None) -> str:
        """Return the path of the packaged config of a model type, `vicuna7b` unless another is asked for.

        Raises:
            SamConfigurationError: There is no such model type; the message lists them.
        """
        chosen = model_type or DEFAULT_MODEL_TYPE
        if chosen not in cls.PRETRAINED_MODEL_CONFIG_DICT:
            known = ", ".join(cls.PRETRAINED_MODEL_CONFIG_DICT)
            raise SamConfigurationError(f"model_type {chosen!r} of blip2_vicuna_sam is unknown; choose one of {known}")
        return cls.PRETRAINED_MODEL_CONFIG_DICT[chosen]

    @classmethod
    def from_pretrained(cls, model_type: str | None = None) -> "Blip2VicunaSAM":
        """Build a packaged model type, `vicuna7b` unless another is asked for."""
        return super().from_pretrained(model_type)

    def load_checkpoint(self, url_or_filename: str) -> None:
        """Load SAM's layers from our own or the authors' checkpoint, checked key by key.

        Raises:
            SamCheckpointError: The file is missing, damaged or does not fit this model.
        """
        load_trained(self, url_or_filename)
