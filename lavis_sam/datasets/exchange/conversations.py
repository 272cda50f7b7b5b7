"""Mantis-Instruct and LLaVA-NeXT-Interleave's M4-Instruct: conversations with one `<image>` for each image.

Both are read by one reader, which takes either spelling of every key: `id` or `sample_id`, `images` or `image`,
`conversation` or `conversations`, `{"role": "user", "content"}` or `{"from": "human", "value"}`.

Our prompts say `{image#2}` where they mean a place in the text, and the images themselves always come first. So
leading `<image>` marks are dropped, those inside a text become `{image#k}`, and the other way round. What these formats
have no place for, several references, goes into `references` (Mantis) or `metadata.references` (M4-Instruct); nothing
is lost.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lavis_sam.datasets.formats.fields import RecordError, given, identity, items, mapping, wrong_type
from lavis_sam.datasets.problems import AnnotationProblem
from lavis_sam.datasets.records import read_records
from lavis_sam.datasets.sample import MultiImageSample

IMAGE_MARK = "<image>"
_LEADING_MARKS = re.compile(rf"(?:\s*{IMAGE_MARK})+")
_PLACE = re.compile(r"\{image#(\d{1,9})\}")
_QUESTION, _ANSWER, _SYSTEM = ("user", "human"), ("assistant", "gpt"), ("system",)


def conversation_records(path: Path, problems: list[AnnotationProblem]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield records of the unified format, one for each answer of each conversation.

    An answer later in a conversation has everything said before it in its instruction, and the id `<id>/<turn>`.

    Args:
        path: A list, or one conversation a line.
        problems: What cannot be used is appended here.

    Yields:
        Place and record.
    """
    for place, record in read_records(path, problems):
        try:
            yield from _unified(mapping(record), place)
        except RecordError as error:
            problems += [AnnotationProblem(kind, place, message) for kind, message in error.problems]


def _unified(record: Mapping[str, Any], place: str) -> list[tuple[str, dict[str, Any]]]:
    name = given(record, "id", "sample_id")
    images = _images(record)
    turns = _turns(record)
    marks = sum(text.count(IMAGE_MARK) for text, _ in turns)
    if marks != len(images):
        raise RecordError(
            ("wrong image count", f"found {marks} {IMAGE_MARK} for {len(images)} images, wanted one each")
        )
    if len(turns) > 1:
        name = identity({"id": name}, "id")
    unified = []
    first = turns[0][0]
    rest, shown = "", 0  # what was said after the first question, marks in its place; a mark in an answer is text
    for turn, (question, answer) in enumerate(turns, start=1):
        rest += _placed(question, shown) if turn > 1 else ""
        shown += question.count(IMAGE_MARK)
        whole = {"img_list": images[:shown], "instruction": _instruction(first, shown, rest), "output": answer}
        if len(turns) == 1:
            metadata = record.get("metadata")
            references = given(record, "references")
            if references is None and isinstance(metadata, dict):
                references = metadata.get("references")
            unified.append((place, {"id": name, **whole, "references": references}))
        else:
            unified.append((f"{place} turn {turn}", {"id": f"{name}/{turn}", **whole}))
        rest += f"\n{answer}\n"
    return unified


def _images(record: Mapping[str, Any]) -> list[Any]:
    """Return paths; Mantis' parquet files write them as `{"path", "bytes"}`, and one image may stand without a list."""
    images = given(record, "images", "image")
    if isinstance(images, str):
        images = [images]
    if not isinstance(images, list):
        raise wrong_type("images", images, "a list of paths")
    return [image.get("path") if isinstance(image, dict) else image for image in images]


def _turns(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (question, answer) pairs; what a system message says stands before the first question."""
    key = "conversations" if record.get("conversations") is not None else "conversation"
    turns: list[tuple[str, str]] = []
    question: str | None = None
    for message in items(record, key):
        role = given(mapping(message, key), "role", "from")
        text = given(message, "content", "value")
        if not isinstance(text, str):
            raise wrong_type(key, text, "a text")
        if role in _ANSWER and question is not None:
            turns.append((question, text))
            question = None
        elif role in _QUESTION or role in _SYSTEM:
            question = text if question is None else f"{question}\n{text}"
        else:
            raise wrong_type(key, role, "user (human) and assistant (gpt) in turn")
    if not turns or question is not None:
        raise wrong_type(key, f"{len(turns)} answers", "an answer to each question")
    return turns


def _instruction(text: str, images: int, rest: str = "") -> str:
    """Drop leading marks for all images, or else turn each mark into its image's place; `rest` is appended as it is."""
    leading = _LEADING_MARKS.match(text)
    if leading and leading.group().count(IMAGE_MARK) == images:
        after = text[leading.end() :] + rest
        return after[1:] if after.startswith("\n") else after.lstrip(" \t")
    return _placed(text, 0) + rest


def _placed(text: str, before: int) -> str:
    """Turn each mark into the place of its image, of which `before` came earlier."""
    for k in range(before + 1, before + text.count(IMAGE_MARK) + 1):
        text = text.replace(IMAGE_MARK, f"{{image#{k}}}", 1)
    return text


def _question(sample: MultiImageSample) -> str:
    """Put one mark an image into the instruction: where it names each image, once and in order; else in front.

    Raises:
        RecordError: A text of the sample holds the mark itself.
    """
    for text in (sample.instruction, sample.output):
        if IMAGE_MARK in text:
            raise RecordError(("image mark in a text", f"found {IMAGE_MARK!r} in {text!r}, which means an image there"))
    count = len(sample.images)
    if [int(k) for k in _PLACE.findall(sample.instruction)] == list(range(1, count + 1)):
        placed = _PLACE.sub(IMAGE_MARK, sample.instruction)
        if _instruction(placed, count) == sample.instruction:
            return placed
    return IMAGE_MARK * count + "\n" + sample.instruction


def to_mantis(sample: MultiImageSample) -> dict[str, Any]:
    """Return the sample as a record of Mantis-Instruct.

    Raises:
        RecordError: A text of the sample holds `<image>`.
    """
    record = {
        "id": sample.id,
        "images": list(sample.images),
        "conversation": [
            {"role": "user", "content": _question(sample)},
            {"role": "assistant", "content": sample.output},
        ],
    }
    return record | _references(sample)


def to_m4_instruct(sample: MultiImageSample) -> dict[str, Any]:
    """Return the sample as a record of M4-Instruct.

    Raises:
        RecordError: A text of the sample holds `<image>`.
    """
    return {
        "sample_id": sample.id,
        "image": list(sample.images),
        "conversations": [
            {"from": "human", "value": _question(sample)},
            {"from": "gpt", "value": sample.output},
        ],
        "metadata": _references(sample),
    }


def _references(sample: MultiImageSample) -> dict[str, Any]:
    return {} if sample.references == (sample.output,) else {"references": list(sample.references)}
