"""What a sample is: which objects stand in which images, and what is asked and answered about them.

A form is the only part that knows what a data set is for; all stages between its `plan` and its `write` are shared.

shared     pairs and groups: images that share one object
stories    three panels and their characters
changes    before and after
captions   one image and a question about it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lavis_sam.synthesis.phrases import Phrases
from lavis_sam.synthesis.protocols import Source
from lavis_sam.synthesis.records import Attempt, Draft, Plan


@dataclass(frozen=True)
class Texts:
    """What a form writes.

    Attributes:
        required: Words of the answer that are the truth; whatever rewrites it must keep them.
        references: All right answers, `output` first; empty where there is one.
    """

    instruction: str
    output: str
    required: tuple[str, ...]
    references: tuple[str, ...] = ()


class PhrasedForm:
    """A form's name, how many images its samples have, and its phrases (`assets/phrases/<form>.yaml`)."""

    def __init__(self, form: str, images: int) -> None:
        self._form, self._count, self._phrases = form, images, Phrases.load(form)


class Form(Protocol):
    """One kind of data set."""

    def plan(self, attempt: Attempt, sources: Mapping[str, Source]) -> Plan:
        """Decide what a sample shows.

        Args:
            sources: Kind -> where its objects come from.

        Raises:
            SamDataError: The objects drawn cannot be used; another try may succeed.
        """
        ...

    def write(self, draft: Draft) -> Texts:
        """Ask and answer, when everything is drawn and described."""
        ...
