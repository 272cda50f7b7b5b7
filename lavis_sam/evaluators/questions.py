"""What an evaluator asks: messages to images and a prompt, decoding, stops, and likelihoods of given texts."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lavis_sam.errors import SamDataError

if TYPE_CHECKING:
    from lavis_sam.predictor import SamPredictor

_LOG = logging.getLogger(__name__)
# Targets are not cut: a text without its end would be another one.
_UNLIMITED = 1 << 30
# Settings of generation that evaluators pass on and this model has under the same name.
_SAME = ("num_beams", "repetition_penalty", "length_penalty")
_READ = (*_SAME, "until", "max_new_tokens", "min_new_tokens", "do_sample", "temperature", "top_p")


@dataclass(frozen=True)
class ImagePrompt:
    """Images and a prompt.

    Attributes:
        images: In the order of the messages, never put together into one.
        prompt: The text. Images before it all are only seen; any other place of an image is `{image#k}` in it.
    """

    images: tuple[Any, ...]
    prompt: str


@dataclass(frozen=True)
class Likelihood:
    """How likely a text is as the answer.

    Attributes:
        total: The natural logarithm of its probability, summed over its tokens; no end token counts.
        is_greedy: Whether each of its tokens is the likeliest one.
    """

    total: float
    is_greedy: bool


def read_question(parts: Iterable[tuple[str, Any]], place: str) -> ImagePrompt:
    """Read the parts of a conversation.

    Args:
        parts: ("image", what `SamPredictor` takes) and ("text", a text), in order.
        place: What an error calls the conversation.

    Raises:
        SamDataError: A part is neither, or there is no image.
    """
    images: list[Any] = []
    texts: list[str] = []
    in_front = 0
    for kind, value in parts:
        if kind == "image":
            images.append(value)
            in_front += not texts
            texts += [f"{{image#{len(images)}}}"] if texts else []
        elif kind == "text":
            texts += [value] if value else []
        else:
            raise SamDataError(f"{place}: found a part of type {kind!r}, wanted image or text; this model sees images.")
    if not images:
        raise SamDataError(f"{place}: found 0 images, wanted at least one; choose a task with images.")
    if in_front < len(images):  # once one image has a place in the text, those in front say theirs as well
        texts = ["".join(f"{{image#{k}}}" for k in range(1, in_front + 1)), *texts]
    return ImagePrompt(tuple(images), "".join(texts))


def read_decoding(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of `SamPredictor.caption` for the settings of generation that an evaluator gives.

    Args:
        given: `max_new_tokens`, `min_new_tokens`, `num_beams`, `do_sample`, `temperature`, `top_p`,
            `repetition_penalty`, `length_penalty`; None is not given. What is unknown here is named in the log.
        defaults: What holds where nothing is given.
    """
    known = {name: value for name, value in given.items() if value is not None and name in _READ}
    unknown = sorted(name for name, value in given.items() if value is not None and name not in _READ)
    if unknown:
        _LOG.warning("settings of generation that this model has no use for: %s", ", ".join(unknown))
    decoding = {**defaults, **{name: known[name] for name in _SAME if name in known}}
    # Ours count an invisible start token.
    for name, ours in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
        if name in known:
            decoding[ours] = known[name] + 1
    if known.get("do_sample"):  # without it, temperature and top_p mean nothing
        decoding["use_nucleus_sampling"] = True
        decoding |= {name: known[name] for name in ("temperature", "top_p") if name in known}
    return decoding


def cut_at(text: str, stops: str | Sequence[str | None] | None) -> str:
    """Return the text up to the first of the stops; an empty one is none."""
    for stop in [stops] if isinstance(stops, str) else stops or ():
        if stop:
            text = text.partition(stop)[0]
    return text


def likelihoods(predictor: "SamPredictor", question: ImagePrompt, targets: Sequence[str]) -> list[Likelihood]:
    """Return how likely each target is after the question, exactly; guidance is on, nothing is cut.

    Args:
        targets: At least one; none of them empty.

    Raises:
        SamDataError: An image cannot be read, a target is empty, or the whole is longer than the language model reads.
    """
    import torch

    from lavis_sam.datasets.collate import collate_multi_image
    from lavis_sam.datasets.images import image_tensor, to_rgb
    from lavis_sam.models.language.sequence import check_length, prompt_ends, target_loss, training_inputs

    blank = [number for number, target in enumerate(targets) if not target.strip()]
    if blank or not targets:
        found = f"target {blank[0]} of {len(targets)} is empty" if blank else "there are 0 targets"
        raise SamDataError(f"{found}, so there is nothing to be likely; wanted a text.")
    model = predictor.model
    read = [to_rgb(image, f"image {place}") for place, image in enumerate(question.images, start=1)]
    stacked = torch.stack([image_tensor(image, predictor.image_size) for image in read], dim=1)
    batch = collate_multi_image([{"image": stacked, "sample_id": 0}])
    with torch.no_grad():
        visual = model.encode({"image": batch["image"].to(model.device)}, [question.prompt]).repeat(len(targets))
        prompts = [question.prompt] * len(targets)
        lengths = [len(model.llm_tokenizer.encode_target(target, append_eos=False)) for target in targets]
        prompt_length = len(model.llm_tokenizer.encode(question.prompt))
        check_length(
            model.llm_model, visual.token_mask.sum(dim=1).tolist(), [prompt_length + length for length in lengths]
        )
        inputs = training_inputs(
            *(model.llm_model, model.llm_tokenizer, visual.tokens, visual.token_mask, prompts, list(targets)),
            max_txt_len=_UNLIMITED,
            max_output_txt_len=_UNLIMITED,
            append_eos=False,
        )
        result = target_loss(model.language(visual, prompts, prompt_ends(inputs)), inputs)
    counts = result.target_tokens.tolist()
    likeliest = (result.logits.argmax(dim=-1) == result.target_ids).split(counts)
    losses = result.token_losses.double().split(counts)
    return [Likelihood(-float(loss.sum()), bool(greedy.all())) for loss, greedy in zip(losses, likeliest, strict=True)]
