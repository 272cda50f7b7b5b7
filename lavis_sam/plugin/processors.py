"""LAVIS's processors: for training images its own, with the flip switchable and faster crops; and texts as they are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lavis.common.registry import registry
from lavis.processors.base_processor import BaseProcessor
from lavis.processors.blip_processors import Blip2ImageTrainProcessor
from PIL import Image
from torch import Tensor, float32
from torchvision.transforms import ConvertImageDtype, RandomHorizontalFlip, RandomResizedCrop, ToTensor
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError, SamDataError

_KEYS = ("name", "image_size", "mean", "std", "min_scale", "max_scale", "flip", "fast")
_PLACE = "datasets.*.vis_processor.train (sam_image_train)"


class _CropBytes:
    """What a `RandomResizedCrop` does, with the same draws, to a PIL image; the crop comes as bytes [3, H, W]."""

    def __init__(self, crop: RandomResizedCrop) -> None:
        self._crop = crop

    def __call__(self, image: Image.Image) -> Tensor:
        top, left, height, width = self._crop.get_params(image, self._crop.scale, self._crop.ratio)
        bytes_ = pil_to_tensor(image.crop((left, top, left + width, top + height)))
        return resize(bytes_, list(self._crop.size), self._crop.interpolation, antialias=True)


# A step of LAVIS's transform -> what makes the step that takes its place where images are bytes until the end.
_AS_BYTES: dict[type, Callable[[Any], Callable[[Any], Any]]] = {
    RandomResizedCrop: _CropBytes,
    ToTensor: lambda step: ConvertImageDtype(float32),
}


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
        fast: bool = False,
    ) -> None:
        """Set up the steps.

        Args:
            image_size: Side of the square in pixels.
            mean: Of each channel; CLIP's by default.
            std: Of each channel; CLIP's by default.
            min_scale: Smallest part of the image's area that a crop shows.
            max_scale: Largest part.
            flip: Whether half of the images are mirrored.
            fast: Whether torchvision resizes the same crops, as bytes, and not Pillow: about twice as fast, and a few
                values in a thousand are another shade, one or two of 256 away.
        """
        super().__init__(image_size=image_size, mean=mean, std=std, min_scale=min_scale, max_scale=max_scale)
        steps = self.transform.transforms
        if not flip:
            steps = [step for step in steps if not isinstance(step, RandomHorizontalFlip)]
        if fast:
            steps = [_AS_BYTES.get(type(step), lambda step: step)(step) for step in steps]
        self.transform.transforms = steps

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any] | None = None) -> "SamImageTrainProcessor":
        """Build from a configuration node with the arguments of the constructor as keys.

        Raises:
            SamConfigurationError: An unknown key, or a `flip` or `fast` that is neither true nor false.
        """
        given = {str(key): value for key, value in (cfg or {}).items() if key != "name"}
        unknown = [
            unknown_name("key", key, _KEYS, "vis_processor (sam_image_train)") for key in given if key not in _KEYS
        ]
        if unknown:
            raise SamConfigurationError("\n".join(unknown))
        for key in ("flip", "fast"):
            if not isinstance(given.get(key, True), bool):
                raise SamConfigurationError(f"{_PLACE}: {key}: found {given[key]!r}, wanted true or false.")
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
