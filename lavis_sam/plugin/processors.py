"""The training processor of images: LAVIS's own, whose flip can be switched off."""

from collections.abc import Mapping, Sequence
from typing import Any

from lavis.common.registry import registry
from lavis.processors.base_processor import BaseProcessor
from lavis.processors.blip_processors import Blip2ImageTrainProcessor
from torchvision.transforms import RandomHorizontalFlip

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError

_KEYS = ("name", "image_size", "mean", "std", "min_scale", "max_scale", "flip")
_PLACE = "datasets.*.vis_processor.train (sam_image_train)"


@registry.register_processor("sam_image_train")
class SamImageTrainProcessor(Blip2ImageTrainProcessor):
    """LAVIS's `blip2_image_train`; with `flip: false` images are never mirrored.

    A random crop of the image is resized to a square (bicubic), mirrored half of the time, and normalised by CLIP's
    mean and standard deviation. Where texts name left and right, a mirrored image would make them false.
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
            min_scale: Smallest part of the image's area that a crop shows.
            max_scale: Largest part.
            flip: Whether half of the images are mirrored.
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


@registry.register_processor("sam_text")
class SamTextProcessor(BaseProcessor):
    """Return a text as it is.

    LAVIS's `blip_caption` and `blip_question` lower-case, strip `.!"()*#:;~` and cut at 50 words, which would destroy
    `{image#1}Caption#1:` in instructions and the punctuation in answers.
    """

    def __call__(self, text: str) -> str:
        """Return `text` unchanged.

        Raises:
            SamDataError: `text` is not a string.
        """
        if not isinstance(text, str):
            raise SamDataError(f"sam_text: found a {type(text).__name__} ({text!r}), wanted a text (str).")
        return text

    @classmethod
    def from_config(cls, cfg: Any = None) -> "SamTextProcessor":
        """Build from a configuration node; there is nothing to configure."""
        return cls()
