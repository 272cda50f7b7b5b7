"""The model as lmms-eval asks it: conversations with images that stay separate and in order.

A request's `args` are `(context, doc_to_messages, generation settings, number of the document, task, split)`; what is
asked is in the messages, the context is not needed. Requests for likelihoods come from tasks of the older form:
`(context, target, doc_to_visual, number, task, split)`.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmms_eval.api.model import lmms

from lavis_sam.config.option_values import whole_number
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluators.questions import ImagePrompt, cut_at, likelihoods, read_decoding, read_question
from lavis_sam.predictor import SamPredictor
from lavis_sam.progress import tracked

_DECODING = ("num_beams", "max_length", "min_length", "repetition_penalty", "length_penalty")


class LmmsEvalModel(lmms):
    """SAM for lmms-eval; each `--model_args` is an argument here.

    Args:
        pretrained: See `SamPredictor.from_pretrained`.
        device: "cpu", "cuda", …; by default the first GPU, or else the CPU.
        batch_size: The most samples that go through the model together.
        base: InstructBLIP, where it is not where config and environment say.
        checkpoint: Trained layers over `pretrained`.
        precision: Of the frozen parts.
        max_batch_size: None; lmms-eval gives it to every model, for `--batch_size auto`.
        decoding: `num_beams`, `max_length`, `min_length`, `repetition_penalty`, `length_penalty`, where a task does not
            say them; else the published ones.

    Raises:
        SamConfigurationError: An unknown setting, several processes, or see `SamPredictor.from_pretrained`.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str = "tiny",
        device: str | None = None,
        batch_size: int | str = 1,
        base: str | None = None,
        checkpoint: str | None = None,
        precision: str | None = None,
        max_batch_size: int | None = None,
        **decoding: Any,
    ) -> None:
        super().__init__()
        if unknown := [name for name in decoding if name not in _DECODING]:
            raise SamConfigurationError(f"--model_args: found {unknown[0]!r}, wanted one of {', '.join(_DECODING)}.")
        number = whole_number(str(batch_size))
        if number is None:
            raise SamConfigurationError(
                f"--batch_size: found {batch_size!r}, wanted a number; this model takes no 'auto'."
            )
        if max_batch_size is not None:
            raise SamConfigurationError(
                f"--max_batch_size: found {max_batch_size!r}, which bounds '--batch_size auto'; this model takes no "
                "'auto'. Leave it out; --batch_size is the most samples that go through the model together."
            )
        if os.environ.get("WORLD_SIZE", "1") != "1":
            raise SamConfigurationError(
                f"WORLD_SIZE is {os.environ['WORLD_SIZE']}; the model answers lmms-eval in one process. Start it "
                "without a launcher, and share tasks between machines by --tasks, or by --limit and --offset."
            )
        self.decoding = decoding
        self.predictor = SamPredictor.from_pretrained(
            pretrained, base=base, checkpoint=checkpoint, device=device, precision=precision, batch_size=number
        )

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer each request; lmms-eval's method.

        Raises:
            SamDataError: A request without images, with a video or a sound, or see `SamPredictor.caption`.
        """
        asked = []
        for request in requests:
            _, doc_to_messages, settings, number, task, split = request.args
            messages = doc_to_messages(self.task_dict[task][split][number])
            asked.append((_question(messages, f"{task} {split}[{number}]"), settings, request.args[0]))
        # Only requests with the same settings go through the model together.
        groups: dict[str, list[int]] = {}
        for place, (_, settings, _) in enumerate(asked):
            groups.setdefault(json.dumps(settings, sort_keys=True, default=str), []).append(place)
        size = self.predictor.batch_size
        batches = [places[at : at + size] for places in groups.values() for at in range(0, len(places), size)]
        answers = [""] * len(asked)
        for places in tracked(batches, "Answering", len(batches)):
            settings = asked[places[0]][1]
            found = self._answers([asked[place][0] for place in places], settings)
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
                self.cache_hook.add_partial("generate_until", (asked[place][2], settings), answer)
        return answers

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[list[str]]:
        """Answer each request round by round, until its task says that it is over; lmms-eval's method."""
        return [self._rounds(request) for request in tracked(requests, "Answering", len(requests))]

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return for each request its target's exact log-probability, and whether it is the likeliest text.

        Raises:
            SamDataError: See `likelihoods`.
        """
        results = []
        for request in tracked(requests, "Measuring", len(requests)):
            context, target, doc_to_visual, number, task, split = request.args
            document = self.task_dict[task][split][number]
            target = target if isinstance(target, str) else target(document)
            images = [("image", image) for image in doc_to_visual(document)]
            question = read_question([*images, ("text", context)], f"{task} {split}[{number}]")
            (found,) = likelihoods(self.predictor, question, [target])
            results.append((found.total, found.is_greedy))
        return results

    def _answers(self, questions: Sequence[ImagePrompt], settings: Mapping[str, Any]) -> list[str]:
        found = self.predictor.caption(
            [list(question.images) for question in questions],
            [question.prompt for question in questions],
            **read_decoding(settings, self.decoding),
        )
        return [cut_at(answer, settings.get("until")) for answer in found]

    def _rounds(self, request: Any) -> list[str]:
        _, doc_to_messages, settings, number, task, split = request.args
        document = self.task_dict[task][split][number]
        messages, state, outputs = doc_to_messages(document), None, []
        while True:
            outputs += self._answers([_question(messages, f"{task} {split}[{number}]")], settings)
            following = doc_to_messages(
                document, round_idx=len(outputs), previous_output=list(outputs), previous_round_info=state
            )
            if not isinstance(following, tuple) or len(following) != 4 or following[1]:
                return outputs
            messages, _, _, state = following


def _question(messages: Iterable[Mapping[str, Any]], place: str) -> ImagePrompt:
    return read_question(_parts(messages, place), place)


def _parts(messages: Iterable[Mapping[str, Any]], place: str) -> Iterable[tuple[str, Any]]:
    """Yield the parts of a conversation; what is said in a turn stands on lines of its own."""
    for turn, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list):
            raise SamDataError(f"{place}: found a message whose content is a {type(content).__name__}, wanted a list.")
        if turn:
            yield "text", "\n"
        for part in content:
            yield part["type"], part["text"] if part["type"] == "text" else part.get("url")
