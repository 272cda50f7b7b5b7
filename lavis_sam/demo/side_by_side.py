"""What the page sends, read within the bounds of a server; and several answers to it that are written in turns."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from lavis_sam.demo.switches import guided_by
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.guidance import ResolvedGuidance
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.serving.answers import Answer, Asked, prepare, stream
from lavis_sam.serving.image_urls import read_image
from lavis_sam.serving.limits import Limits, RequestRefusedError


@dataclass(frozen=True)
class ReadQuestion:
    """A question about images, ready for the model.

    Attributes:
        names: What the page calls the images.
        images: The images as they are, RGB.
    """

    names: tuple[str, ...]
    images: tuple[Image.Image, ...]
    asked: Asked


def read_question(model: SemanticAlignment, sent: Any, text: Any, tokens: Any, limits: Limits) -> ReadQuestion:
    """Read what a page sent, which may be anything.

    Args:
        model: Who is asked.
        sent: The images: a list of {"name": …, "url": "data:image/…;base64,…"}.
        text: The question; "" for the model's own prompt.
        tokens: The most tokens of an answer.
        limits: Of images, bytes, pixels, characters and tokens.

    Raises:
        RequestRefusedError: It is something else, more than is allowed, or an image cannot be read.
        SamDataError: It is longer than the language model reads.
    """
    if not isinstance(sent, list) or not all(_is_entry(entry) for entry in sent):
        raise RequestRefusedError("images: wanted a list of names and data URLs; load the page again.")
    if not sent:
        raise RequestRefusedError("There is no image yet: drop some, choose files, or take an example.")
    if not isinstance(text, str) or not isinstance(tokens, int) or isinstance(tokens, bool):
        raise RequestRefusedError("question: wanted a text, and a whole number of tokens; load the page again.")
    for what, found, most in (
        ("images", len(sent), limits.images),
        ("bytes of images", sum(len(entry["url"]) for entry in sent) * 3 // 4, limits.bytes),
        ("characters of the question", len(text), limits.characters),
        ("tokens of an answer", tokens, limits.new_tokens),
    ):
        if found > most:
            raise RequestRefusedError(f"found {found} {what}, wanted at most {most}.")
    if tokens < 1:
        raise RequestRefusedError(f"found {tokens} tokens of an answer, wanted at least 1.")
    names = tuple(entry["name"][:60] for entry in sent)
    images = tuple(
        read_image(entry["url"], f"Image {place} ({name})", None, limits)
        for place, (entry, name) in enumerate(zip(sent, names, strict=True), start=1)
    )
    decoding = Decoding(num_beams=1, max_length=tokens + 1)  # one more: the start token, which nobody sees
    return ReadQuestion(names, images, prepare(model, images, text.strip(), decoding))


def write_side_by_side(
    model: SemanticAlignment, asked: Asked, variants: Sequence[ResolvedGuidance]
) -> Iterator[tuple[str, ...]]:
    """Answer under each guidance, a piece of each in turn; gives all texts so far after every piece.

    Raises:
        SamConfigurationError: Out of memory.
    """
    running: list[Generator[str, None, Answer] | None] = [stream(model, asked) for _ in variants]
    texts = [""] * len(variants)
    while any(running):
        for place, pieces in enumerate(running):
            if pieces is None:
                continue
            with guided_by(model, variants[place]):
                piece = next(pieces, None)
            if piece is None:
                running[place] = None
                continue
            texts[place] += piece
            yield tuple(texts)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("name", "url"))
