"""Places and smoother answers from a chat model behind an OpenAI-compatible URL, asked as the paper does: by examples.

What comes back is checked before anybody uses it: a place that is none is refused and the sample tried again with other
examples; an answer that cannot be used leaves the plain one.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from lavis_sam.baselines.budget import Limits
from lavis_sam.baselines.transport import Transport
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.backends.chat_service import ChatService, Messages
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.phrases import Phrases, indefinite, listed
from lavis_sam.synthesis.protocols import BackgroundRequest, RefineRequest
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.records import Background, SourceObject
from lavis_sam.synthesis.stages.write import BANNED

_EXAMPLES = 5
_FEWEST_WORDS, _MOST_WORDS = 2, 16
# A smoother answer is not a longer one.
_MOST_GROWTH, _MORE_WORDS = 1.5, 12
_PLACE = re.compile(
    r"\b(?:in|on|at|under|beside|near|by|inside|outside|along|among|across|between|behind|beneath|within|around|"
    r"next to|over|above|through|against|down|up|off|before|beyond) .+",
    re.IGNORECASE,
)
# Pieces of our own questions, which a model that only continues a text repeats.
_LEAKED = ("subject:", "background:", "words:", "answer:", "rewritten:")

# How the examples of a question are sent: within its text, as the paper does, or as turns of a conversation.
Examples = Literal["text", "turns"]


class ChatModel:
    """What both jobs share: the service and its options."""

    version = "1"
    _job = ""

    def __init__(
        self,
        model: str,
        url: str = "https://api.openai.com/v1",
        key_variable: str = "OPENAI_API_KEY",
        cache: str = "chat_answers",
        max_requests: int | None = 10_000,
        max_total_tokens: int | None = None,
        max_spending: float | None = None,
        input_price: float | None = None,
        output_price: float | None = None,
        max_tokens: int = 120,
        temperature: float = 0.0,
        timeout: float = 60.0,
        deadline: float | None = None,
        concurrency: int = 4,
        requests_per_minute: float | None = None,
        examples: Examples = "text",
    ) -> None:
        """Check the options; nothing is sent before the first question.

        Args:
            model: Its name at the service.
            url: Of any OpenAI-compatible service.
            key_variable: The environment variable that holds the API key; where it is not set, none is sent.
            cache: The folder of the answers and of their account, shared by workers, runs and both jobs.
            max_requests: The most that all answers of the folder may take; null is no limit.
            input_price: Of a million tokens; with `output_price` it makes `max_spending` a limit.
            timeout: Seconds that a connection may be silent.
            deadline: Seconds after which a request is given up.
            examples: "turns" sends each example as a question and its answer; small models follow it better.

        Raises:
            SamConfigurationError: An impossible option.
        """
        if examples not in get_args(Examples):
            raise SamConfigurationError(
                f"stages.{self._job}.examples: found {examples!r}, wanted one of {', '.join(get_args(Examples))}."
            )
        self._examples = examples
        self.name = f"chat {model}"
        self._service = ChatService(
            Transport(url, key=os.environ.get(key_variable) or None, timeout=timeout, deadline=deadline),
            {"model": model, "max_tokens": max_tokens, "temperature": temperature},
            Path(cache),
            Limits(max_requests, max_total_tokens, max_spending, input_price, output_price),
            place=f"stages.{self._job}",
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
        )

    def _ask(self, prompts: Sequence[str]) -> list[str]:
        return self._service.ask(prompts if self._examples == "text" else [as_turns(prompt) for prompt in prompts])


class ChatBackgrounds(ChatModel):
    """Thinks of a place for what stands there."""

    _job = "background"

    def write(self, requests: Sequence[BackgroundRequest]) -> list[Background]:
        """See `BackgroundWriter.write`.

        Raises:
            SamDataError: An answer is no place in a few English words, or one that another image has.
        """
        answers = self._ask([background_prompt(request) for request in requests])
        return [read_background(answer, request.avoid) for answer, request in zip(answers, requests, strict=True)]


class ChatRefiner(ChatModel):
    """Rewrites an answer in smoother words."""

    _job = "refine"

    def refine(self, requests: Sequence[RefineRequest]) -> list[str]:
        """See `Refiner.refine`.

        Raises:
            SamDataError: A text cannot be used; the stage then keeps the plain answer.
        """
        answers = self._ask([refine_prompt(request) for request in requests])
        return [read_refined(answer, request) for answer, request in zip(answers, requests, strict=True)]


def background_prompt(request: BackgroundRequest) -> str:
    """Return the paper's few-shot form: subjects and their places, then a subject whose place is wanted.

    The examples are drawn for each request, so that a model that takes the most likely words gives many places.
    """
    chat = Phrases.load("chat").entries["background"]
    lines = [*chat["instruction"], ""]
    for example in _drawn(request.rng, chat["examples"]):
        subject, _, place = example.partition(" | ")
        lines += [f"Subject: {subject}", f"Background: {place}", ""]
    if request.scene:
        lines.append(f"The next background shows this scene: {request.scene}.")
    if request.avoid:
        lines.append(f"The next background is none of these places: {'; '.join(request.avoid)}.")
    subject = listed([_subject(obj) for obj in request.objects])
    pose = f", {request.pose}" if request.pose else ""
    return "\n".join([*lines, f"Subject: {subject}{pose}", "Background:"])


def read_background(answer: str, avoid: Sequence[str] = ()) -> Background:
    """Return a place from an answer.

    Raises:
        SamDataError: It is none.
    """
    text = _one_line(answer, "Background:").rstrip(".")
    words = len(text.split())
    if not _FEWEST_WORDS <= words <= _MOST_WORDS:
        raise _unusable("background", answer, f"{words} words, wanted {_FEWEST_WORDS} to {_MOST_WORDS}")
    _check_language("background", text)
    found = _PLACE.search(text)
    if found is None:
        raise _unusable("background", answer, "it names no place: no `in`, `on`, `at` or the like")
    if any(text.lower() == other.lower() for other in avoid):
        raise _unusable("background", answer, "another image of the sample is there")
    place = found[0]
    return Background(text[:1].upper() + text[1:], place[:1].lower() + place[1:], "")


def refine_prompt(request: RefineRequest) -> str:
    """Return answers and their smoother forms, then the one that is to be rewritten, with the words that it keeps."""
    chat = Phrases.load("chat").entries["refine"]
    lines = [*chat["instruction"], ""]
    for example in _drawn(request.rng, chat["examples"]):
        words, answer, rewritten = example.split(" | ")
        lines += [f"Words: {words}", f"Answer: {answer}", f"Rewritten: {rewritten}", ""]
    return "\n".join([*lines, f"Words: {', '.join(request.required)}", f"Answer: {request.output}", "Rewritten:"])


def read_refined(answer: str, request: RefineRequest) -> str:
    """Return a smoother answer that says all that the plain one says.

    Raises:
        SamDataError: It is none.
    """
    text = _one_line(answer, "Rewritten:")
    words, most = len(text.split()), int(len(request.output.split()) * _MOST_GROWTH) + _MORE_WORDS
    if not 0 < words <= most:
        raise _unusable("refine", answer, f"{words} words, wanted 1 to {most}")
    _check_language("refine", text)
    if lost := [phrase for phrase in request.required if not mentions(text, phrase)]:
        raise _unusable("refine", answer, f"it lost {', '.join(map(repr, lost))}")
    return text


def as_turns(prompt: str) -> Messages:
    """Return the same question as a conversation: the instruction with the first example, its answer, the next, …

    The last line of an example is its answer, after the label with which the whole question ends.
    """
    instruction, *examples, last = prompt.split("\n\n", _EXAMPLES + 1)
    label = last[last.rfind("\n") + 1 :]
    messages = []
    for number, example in enumerate(examples):
        question, _, answer = example.rpartition(label)
        opening = f"{instruction}\n\n" if number == 0 else ""
        messages += [
            {"role": "user", "content": f"{opening}{question}{label}"},
            {"role": "assistant", "content": answer.strip()},
        ]
    return [*messages, {"role": "user", "content": last}]


def _drawn(rng: np.random.Generator, examples: Sequence[str]) -> list[str]:
    return [examples[int(index)] for index in rng.permutation(len(examples))[:_EXAMPLES]]


def _subject(obj: SourceObject) -> str:
    if obj.label or obj.noun:
        return indefinite(obj.label or obj.noun)
    return "a person" if KINDS[obj.kind].has_poses else "a thing"


def _one_line(answer: str, label: str) -> str:
    """Return the first line of an answer that says something, without our label, quotes and stars around it."""
    lines = [line.strip(" \t\"'“”*`") for line in answer.splitlines()]
    first = next((line for line in lines if line), "")
    return first[len(label) :].strip(" \"'“”*") if first.lower().startswith(label.lower()) else first


def _check_language(job: str, text: str) -> None:
    """Refuse what is not plain English words as far as letters tell, or speaks of the task."""
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(not letter.isascii() for letter in letters)
    # One word such as "café" is English enough.
    if not letters or foreign > max(1, len(letters) // 20):
        raise _unusable(job, text, "not in English letters")
    for phrase in BANNED:
        if mentions(text, phrase):
            raise _unusable(job, text, f"it speaks of its task ({phrase!r})")
    if any(piece in text.lower() for piece in _LEAKED):
        raise _unusable(job, text, "it repeats the question")


def _unusable(job: str, answer: str, why: str) -> SamDataError:
    return SamDataError(f"stages.{job}: the chat model said {answer[:120]!r}: {why}")
