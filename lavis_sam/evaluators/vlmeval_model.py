"""The model as VLMEvalKit asks it: images and texts in their order, none of them dropped or put together."""

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vlmeval.dataset import DATASET_TYPE
from vlmeval.vlm.base import BaseModel

from lavis_sam.errors import SamDataError
from lavis_sam.evaluators.questions import likelihoods, read_question
from lavis_sam.predictor import SamPredictor

# Where a message carries the choices of its question, beside VLMEvalKit's `type` and `value`.
CHOICES = "lavis_sam_choices"


class VlmevalModel(BaseModel):
    """SAM for VLMEvalKit.

    Args:
        choose: How multiple choice is answered: "text" lets the model write; "likelihood" takes the choice that is the
            likeliest answer, the first in the order of `predict_class`, and writes its letter.
        decoding: Settings of `SamPredictor.caption`.
    """

    INTERLEAVE = True

    def __init__(self, predictor: SamPredictor, choose: str, decoding: Mapping[str, Any]) -> None:
        super().__init__()
        self.predictor, self.choose, self.decoding = predictor, choose, dict(decoding)

    def preproc_content(self, inputs: Any) -> Any:
        """Return the parts of a message as they are.

        VLMEvalKit's own looks whether a text is a file or an address; a question that is one would be fetched.
        """
        return inputs if self.check_content(inputs) == "listdict" else super().preproc_content(inputs)

    def use_custom_prompt(self, dataset: str) -> bool:
        """Return whether `build_prompt` is asked instead of the data set: only to learn the choices."""
        return self.choose == "likelihood" and str(DATASET_TYPE(dataset)).startswith("MCQ")

    def set_dump_image(self, dump_image_func: Callable[..., Any]) -> None:
        """Take the data set's method that saves images, and with it the data set; VLMEvalKit calls this first."""
        super().set_dump_image(dump_image_func)
        self._dataset: Any = getattr(dump_image_func, "__self__", None)

    def build_prompt(self, line: Any, dataset: str) -> list[dict[str, Any]]:
        """Return the data set's own messages of a row, with the choices of the row beside the last.

        Raises:
            SamDataError: The row has fewer than two choices.
        """
        choices = {
            letter: str(line[letter])
            for letter in string.ascii_uppercase
            if letter in line and line[letter] == line[letter] and str(line[letter]).strip()  # NaN is an empty cell
        }
        if len(choices) < 2:
            raise SamDataError(
                f"{dataset}, index {line['index']}: found {len(choices)} choices, wanted two or more; --choose text?"
            )
        messages: list[dict[str, Any]] = self._dataset.build_prompt(line)
        return [*messages[:-1], {**messages[-1], CHOICES: choices}]

    def generate_inner(self, message: Sequence[Mapping[str, Any]], dataset: str | None = None) -> str:
        """Answer a question; VLMEvalKit's method.

        Raises:
            SamDataError: It has no image, or a video; or see `SamPredictor.caption`.
        """
        question = read_question(((part["type"], part["value"]) for part in message), f"a question of {dataset}")
        choices = next((part[CHOICES] for part in message if CHOICES in part), None)
        if choices is None:
            return str(self.predictor.caption(list(question.images), question.prompt, **self.decoding))
        found = likelihoods(self.predictor, question, list(choices.values()))
        likeliest = max(range(len(found)), key=lambda place: found[place].total)
        return str(list(choices)[likeliest])
