"""What the model writes for requests: one batch as a whole, or one text piece by piece."""

import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.datasets.images import image_tensor
from lavis_sam.memory import naming_samples
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.sequence import check_length
from lavis_sam.models.semantic_alignment import SemanticAlignment

_REMEDY = "Ask about fewer images, or let the server take smaller batches (--batch-size)."


@dataclass(frozen=True)
class Asked:
    """What a request asks, ready for the model.

    Attributes:
        images: [3, N, H, W], normalised.
        prompt_tokens: Visual tokens and tokens of the prompt.
        seed: Of sampling; None for another one each time.
        stops: Texts before which an answer ends.
    """

    images: torch.Tensor
    prompt: str
    prompt_tokens: int
    decoding: Decoding
    seed: int | None = None
    stops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A text, why it ended ("stop" or "length"), and the tokens that the model wrote for it."""

    text: str
    finish_reason: str
    tokens: int


def prepare(
    model: SemanticAlignment,
    images: Sequence[Image.Image],
    prompt: str,
    decoding: Decoding,
    *,
    seed: int | None = None,
    stops: tuple[str, ...] = (),
) -> Asked:
    """Prepare a request; nothing runs on the model's device yet.

    Raises:
        SamDataError: It is longer than the language model reads.
    """
    text = prompt or model.prompt
    visual, written = len(images) * model.query_tokens.shape[1], len(model.llm_tokenizer.encode(text))
    check_length(model.llm_model, [visual], [written])
    side = model.visual_encoder.image_size
    tensors = torch.stack([image_tensor(image, side) for image in images], dim=1)
    return Asked(tensors, text, visual + written, decoding, seed, stops)


@torch.no_grad()
def answer(model: SemanticAlignment, asked: Sequence[Asked]) -> list[list[Answer]]:
    """Answer requests of one decoding together: `n` answers for each.

    Raises:
        SamConfigurationError: Out of memory.
    """
    decoding = asked[0].decoding
    with _rng_of(model, asked[0]).in_use(), naming_samples(lambda: f"answering {len(asked)} requests", _REMEDY):
        prompts = [one.prompt for one in asked]
        visual = model.encode(_batch(model, asked), prompts)
        found = model.generate_from(visual, prompts, decoding)
    end, count = model.llm_tokenizer.eos_token_id, decoding.num_captions
    written = [
        _ended(text, ids, asked[place // count].stops, end, decoding)
        for place, (text, ids) in enumerate(zip(found.texts, found.sequences.tolist(), strict=True))
    ]
    return [written[at : at + count] for at in range(0, len(written), count)]


def stream(model: SemanticAlignment, asked: Asked) -> Generator[str, None, Answer]:
    """Answer one request piece by piece; the generator's own value is the whole answer.

    Raises:
        SamConfigurationError: Out of memory.
    """
    rng, stop, text = _rng_of(model, asked), _StopFilter(asked.stops), ""
    pieces: Generator[str, None, torch.Tensor] | None = None
    while True:
        with rng.in_use(), naming_samples(lambda: "streaming a request", _REMEDY):
            if pieces is None:
                pieces = model.stream({**_batch(model, [asked]), "prompt": [asked.prompt]}, asked.decoding)
            found = _next(pieces)
        if isinstance(found, torch.Tensor):
            break
        if shown := stop.feed(found):
            text += shown
            yield shown
        if stop.is_met:
            pieces.close()
            return Answer(text, "stop", len(model.llm_tokenizer.encode(stop.seen)))
    if rest := stop.rest():
        text += rest
        yield rest
    return _ended(text, found.tolist(), (), model.llm_tokenizer.eos_token_id, asked.decoding)


def _next(pieces: Generator[str, None, torch.Tensor]) -> str | torch.Tensor:
    """Return a generator's next piece, or its own value at its end."""
    try:
        return next(pieces)
    except StopIteration as end:
        ids: torch.Tensor = end.value
        return ids


def _batch(model: SemanticAlignment, asked: Sequence[Asked]) -> dict[str, Any]:
    batch = collate_multi_image([{"image": one.images} for one in asked])
    return {key: value.to(model.device) for key, value in batch.items()}


def _ended(text: str, ids: Sequence[int], stops: Sequence[str], end: int, decoding: Decoding) -> Answer:
    """Make an answer of a text and its sequence, which begins with a start token and may be padded with end tokens."""
    places = [at for stop in stops if (at := text.find(stop)) >= 0]
    tokens = sum(token != end for token in ids[1:])
    is_cut = len(ids) == decoding.max_length and ids[-1] != end
    if places:
        return Answer(text[: min(places)], "stop", tokens)
    return Answer(text, "length" if is_cut else "stop", tokens)


class _StopFilter:
    """Holds back of a growing text what may be the beginning of a stop text.

    Attributes:
        seen: All that was fed.
        is_met: Whether a stop text has come.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops, self._shown = stops, 0
        self.seen, self.is_met = "", False

    def feed(self, piece: str) -> str:
        """Take the next piece and give what is certain."""
        self.seen += piece
        places = [at for stop in self._stops if (at := self.seen.find(stop)) >= 0]
        self.is_met = bool(places)
        certain = min(places, default=len(self.seen) - self._held())
        shown = self.seen[self._shown : certain]
        self._shown = max(certain, self._shown)
        return shown

    def rest(self) -> str:
        """Give what was held back when the text has ended."""
        return self.seen[self._shown :]

    def _held(self) -> int:
        lengths = [n for stop in self._stops for n in range(1, len(stop)) if self.seen.endswith(stop[:n])]
        return max(lengths, default=0)


class _RngState:
    """Random numbers of one request: those of its seed, whatever else runs between its steps."""

    def __init__(self, seed: int | None, device: torch.device) -> None:
        self._seed = secrets.randbits(63) if seed is None else seed
        self._cuda = [device] if device.type == "cuda" else []
        self._states: list[torch.Tensor] = []

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make PyTorch's generators this request's."""
        with torch.random.fork_rng(devices=self._cuda):
            if self._states:
                torch.set_rng_state(self._states[0])
                for device, state in zip(self._cuda, self._states[1:], strict=True):
                    torch.cuda.set_rng_state(state, device)
            else:
                torch.manual_seed(self._seed)
            yield
            self._states = [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self._cuda)]


def _rng_of(model: SemanticAlignment, asked: Asked) -> _RngState:
    return _RngState(asked.seed, model.device)
