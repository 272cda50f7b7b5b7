"""Answers, pieces of them and errors, as the JSON of the protocol."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from lavis_sam.files import to_json
from lavis_sam.serving.answers import Answer
from lavis_sam.serving.limits import RequestRefusedError

LAST_EVENT = b"data: [DONE]\n\n"


def error_body(error: RequestRefusedError) -> dict[str, Any]:
    """Return an error; the client library shows its message."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return {"error": {"message": str(error), "type": kind, "param": error.param or None, "code": error.code}}


def event(body: dict[str, Any]) -> bytes:
    """Return a body as an event of a stream."""
    return f"data: {to_json(body, indent=None)}\n\n".encode()


class Reply:
    """The reply to one request, whole or as a stream of chunks that share its name and time."""

    def __init__(self, model: str, prompt_tokens: int) -> None:
        """Name it."""
        self._model, self._prompt_tokens = model, prompt_tokens
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return all answers at once."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": self._usage(answers)}

    def piece(self, index: int, text: str) -> bytes:
        """Return a piece of the answer of this number."""
        return self._chunk(index, {"role": "assistant", "content": text}, None)

    def end(self, index: int, answer: Answer) -> bytes:
        """Return the end of an answer."""
        return self._chunk(index, {}, answer.finish_reason)

    def usage(self, answers: Sequence[Answer]) -> bytes:
        """Return the chunk of `include_usage`."""
        return event({**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage(answers)})

    def _chunk(self, index: int, delta: dict[str, str], reason: str | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _usage(self, answers: Sequence[Answer]) -> dict[str, int]:
        written = sum(answer.tokens for answer in answers)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self._prompt_tokens + written,
        }
