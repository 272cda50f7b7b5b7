"""The training processor of pictures: LAVIS's own, whose flip can be switched off."""

from collections.abc import Mapping, Sequence
from typing import Any

from lavis.common.registry import registry
from lavis.processors.blip_processors import Blip2ImageTrainProcessor
from torchvision.transforms import RandomHorizontalFlip

from lavis_sam.errors import SamConfigurationError
from lavis_sam.names import unknown_name

_KEYS = ("name", "image_size", "mean", "std", "min_scale", "max_scale", "flip")
_PLACE = "datasets.*.vis_processor.train (sam_image_train)"


@registry.register_processor("sam_image_train")
class SamImageTrainProcessor(Blip2ImageTrainProcessor):
    """LAVIS's `blip2_image_train`; with `flip: false` pictures are never mirrored.

    A random crop of the picture is resized to a square (bicubic), mirrored half of the time, and normalised by CLIP's
    mean and standard deviation. Where texts name left and right, a mirrored picture would make them false.
    """

    def __init__(
        self,
        image_size: int = 224,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        min_scale: float = 0.5,
        max_scale: float = 1.0,
        flip: bool = True,
    ) -> None:
        """Set up the steps.

        Args:
            image_size: Side of the square in pixels.
            mean: Of each channel; CLIP's by default.
            std: Of each channel; CLIP's by default.
            min_scale: Smallest part of the picture's area that a crop shows.
            max_scale: Largest part.
            flip: Whether half of the pictures are mirrored.
        """
        super().__init__(image_size=image_size, mean=mean, std=std, min_scale=min_scale, max_scale=max_scale)
        if not flip:
            steps = self.transform.transforms
            self.transform.transforms = [step for step in steps if not isinstance(step, RandomHorizontalFlip)]

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any] | None = None) -> "SamImageTrainProcessor":
        """Build from a configuration node with the arguments of the constructor as keys.

        Raises:
            SamConfigurationError: An unknown key, or a `flip` that is neither true nor false.
        """
        given = {str(key): value for key, value in (cfg or {}).items() if key != "name"}
        unknown = [
            unknown_name("key", key, _KEYS, "vis_processor (sam_image_train)") for key in given if key not in _KEYS
        ]
        if unknown:
            raise SamConfigurationError("\n".join(unknown))
        if not isinstance(given.get("flip", True), bool):
            raise SamConfigurationError(f"{_PLACE}: flip: found {given['flip']!r}, wanted true or false.")
        return cls(**given)
