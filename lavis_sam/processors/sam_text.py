"""The text processor of every data set of ours: texts reach both tokenizers unchanged."""

from typing import Any

from lavis.common.registry import registry
from lavis.processors.base_processor import BaseProcessor

from lavis_sam.errors import SamDataError


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
