"""A service's reply: the text that is the answer, without what the model thought before it, and facts about it."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lavis_sam.baselines.budget import Cost
from lavis_sam.baselines.transport import EmptyReplyError, FailedError, RefusedError, Transport

logger = logging.getLogger(__name__)

_FILTER = "a filter of the service took the answer"
# With these reasons to end, an empty text is no answer: a filter took it, or all tokens went into thoughts.
UNANSWERED = {
    "content_filter": _FILTER,
    "safety": _FILTER,
    "length": (
        "no answer came within the tokens that it may have, which the model may have spent on thoughts; allow more "
        "with --max-length, or less thinking with --request, such as reasoning_effort='\"low\"'"
    ),
}
# More than any model reads or writes in one answer.
_MOST_TOKENS = 10**9
# How models that think mark it where the service leaves it in the text: DeepSeek, Qwen and GLM; others; Kimi.
_MARKS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("◁think▷", "◁/think▷"))


def read_answer(reply: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the text of a service's reply, and facts about it.

    One in which the model refuses is the refusal: it is what the model has to say, and asking again would not change
    it. An empty text may be none, see `unanswered`.

    Raises:
        EmptyReplyError: There are choices, if only by name, and no answer in them.
        FailedError: The reply has another form.
    """
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        content = message.get("content")
        reason = choice.get("finish_reason")
        if isinstance(content, list):
            content = _text_of(content)
        if content is None:
            is_ended = reason == "stop" or _no_answer(reason) is not None
            content = message.get("refusal") or ("" if is_ended else None)
        whole = _whole(content).strip()
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        shown = str(reply)[:200]
        kind = EmptyReplyError if "choices" in reply else FailedError
        raise kind(f"no answer in the reply ({type(error).__name__}): {shown}", is_billed=True) from None
    reason = _whole(reason) if isinstance(reason, str) else None
    text = without_thoughts(whole, reason)
    facts = {
        "finish_reason": reason,
        "served_by": _whole(reply["model"]) if isinstance(reply.get("model"), str) else None,
        "usage": _usage(reply.get("usage")),
        "thought_letters": len(whole) - len(text),
    }
    return text, facts


class Account(Protocol):
    """What keeps count of the requests and tokens that are paid for."""

    def reserve(self, cost: Cost, what: str) -> None:
        """Count a request before it is sent; an error where it would go over a limit."""

    def settle(self, reserved: Cost, actual: Cost) -> None:
        """Replace what was reserved by what the service counted."""


def paid_answer(
    transport: Transport, body: dict[str, Any], account: Account, most: Cost, place: str
) -> tuple[str, dict[str, Any]]:
    """Send one request, with its place in the account.

    What surely was for nothing costs nothing; what may be on the service's bill stays on ours.

    Args:
        most: What it may cost, which also counts where the service does not say.
        place: What an error of the account calls the request.

    Returns:
        The answer and its facts; see `read_answer`.
    """
    account.reserve(most, place)
    actual = most
    try:
        text, facts = read_answer(transport.send(body))
        usage = facts["usage"]
        actual = Cost(
            1, usage.get("prompt_tokens", most.input_tokens), usage.get("completion_tokens", most.output_tokens)
        )
        return text, facts
    except (FailedError, RefusedError) as error:
        actual = most if error.is_billed else Cost()
        raise
    finally:
        account.settle(most, actual)


def unanswered(text: str, facts: Mapping[str, Any]) -> str | None:
    """Return why an empty text is no answer of the model; None if it is one."""
    return _no_answer(facts.get("finish_reason")) if not text else None


def without_thoughts(text: str, reason: str | None) -> str:
    """Return the text without `<think>…</think>`, also where the first or the last mark is lacking.

    Chat templates may write the first mark themselves, so that the text begins within the thoughts; the last one is
    lacking where the tokens were used up.
    """
    for first, last in _MARKS:
        *closed, rest = text.split(last)
        text = "".join(part.partition(first)[0] if first in part else "" for part in closed) + rest
        start = text.find(first)
        if start >= 0 and (reason == "length" or not text[:start].strip()):
            text = text[:start]
    return text.strip()


def opened_thoughts(prompt: str) -> str:
    """Return the mark of thoughts that a prompt ends with, so that the answer begins within them; "" if none."""
    return next((first for first, _ in _MARKS if prompt.rstrip().endswith(first)), "")


def _no_answer(reason: Any) -> str | None:
    """Return what a reason to end says about an empty text; Gemini's has more words: "content_filter: RECITATION"."""
    return UNANSWERED.get(reason.split(":")[0].lower()) if isinstance(reason, str) else None


def _text_of(parts: Sequence[Any]) -> str | None:
    """Return the text of a content of parts; None where there is none, so that a refusal counts."""
    texts = [part["text"] for part in parts if part.get("type", "text") in ("text", "output_text")]
    refusals = [part["refusal"] for part in parts if part.get("type") == "refusal"]
    unknown = {str(part.get("type")) for part in parts} - {"text", "output_text", "refusal", "thinking", "reasoning"}
    if not texts and not refusals and unknown:
        raise TypeError(f"parts of type {', '.join(sorted(unknown))}")
    return "".join(texts or refusals) if texts or refusals else None


def _usage(said: Any) -> dict[str, int]:
    """Read how many tokens the service counted; what is no number is left out, so that the most is counted."""
    found = {}
    for name in ("prompt_tokens", "completion_tokens"):
        value = said.get(name) if isinstance(said, dict) else None
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is int and 0 <= value <= _MOST_TOKENS:
            found[name] = value
        elif value is not None:
            shown = str(value)[:40]
            logger.warning("usage.%s of an answer is %s; the most that it may be is counted.", name, shown)
    return found


def _whole(text: str) -> str:
    """Return the text without halves of characters, which could be neither scored nor written."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
