"""A chat service that the backends of `chat` ask for short texts: each question paid once, within one account.

Workers are processes, so what they share is on the disk: the answers, the account of what they cost, and who is asking
what at the moment. The folder of the answers outlives the run: another run asks only what no run has asked.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lavis_sam.baselines.budget import Cost, Limits, text_tokens
from lavis_sam.baselines.cache import AnswerCache, key_of
from lavis_sam.baselines.reply import paid_answer, unanswered
from lavis_sam.baselines.retry import RequestRate, RetryPolicy, retry
from lavis_sam.baselines.transport import FailedError, RefusedError, Transport, UnansweredError
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import read_json, write_json
from lavis_sam.locks import locked

# Questions in a row without any answer, after which the service counts as gone and the run ends.
_MOST_FAILURES = 20
_POLL_SECONDS = 0.02

Messages = list[dict[str, str]]


class Account:
    """What the answers of a folder have cost, over all runs and processes, and what they may cost."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Keep the place. No I/O happens here."""
        self._folder, self._limits = folder, limits

    @property
    def used(self) -> Cost:
        """What was used, answers that are still awaited included at their most.

        Raises:
            SamConfigurationError: The account is damaged.
        """
        path, remedy = self._folder / "spent.json", "Remove it to begin to count again from 0."
        if not path.exists():
            return Cost()
        found = read_json(path, remedy=remedy, error=SamConfigurationError, wanted=dict, most_bytes=4096)
        if set(found) != set(vars(Cost())) or not all(type(n) is int and n >= 0 for n in found.values()):
            raise SamConfigurationError(f"{path}: found {found}, wanted numbers of requests and tokens. {remedy}")
        return Cost(**found)

    def reserve(self, cost: Cost, place: str) -> None:
        """Count a request before it is sent.

        Raises:
            SamConfigurationError: It would go over a limit.
        """
        with waited_lock(self._folder):
            together = self.used + cost
            for limit in self._limits.exceeded(together):
                raise SamConfigurationError(
                    f"{place}: the next request would take the answers of {self._folder.parent} to {limit.needed:,} at "
                    f"most; {limit.key} is {limit.most:,}. It was not sent. Allow more in a file of your own and begin "
                    "a new folder: it finds all answers so far and pays for none of them again."
                )
            write_json(self._folder / "spent.json", asdict(together))

    def settle(self, reserved: Cost, actual: Cost) -> None:
        """Replace what was reserved by what the service counted."""
        with waited_lock(self._folder):
            write_json(self._folder / "spent.json", asdict(self.used + actual - reserved))


class ChatService:
    """Asks texts of a service, several at a time."""

    def __init__(
        self,
        transport: Transport,
        request: dict[str, Any],
        folder: Path,
        limits: Limits,
        *,
        place: str = "stages",
        concurrency: int = 4,
        requests_per_minute: float | None = None,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Send nothing yet.

        Args:
            request: The body of a request without its messages; `model` and `max_tokens` are in it.
            folder: Of the answers.
            place: Where in the configuration the service is named, for messages.

        Raises:
            SamConfigurationError: An impossible number.
        """
        if concurrency < 1:
            raise SamConfigurationError(f"{place}.concurrency: found {concurrency}, wanted at least 1.")
        if request["max_tokens"] < 1:
            raise SamConfigurationError(f"{place}.max_tokens: found {request['max_tokens']}, wanted at least 1.")
        self._transport, self._request, self._place = transport, request, place
        self._folder, self._cache = folder, AnswerCache(folder)
        self.account = Account(folder / "account", limits)
        self._concurrency, self._rate = concurrency, RequestRate(requests_per_minute)
        self._policy, self._sleep = policy or RetryPolicy(attempts=4), sleep
        self._failures = 0

    def ask(self, prompts: Sequence[str | Messages]) -> list[str]:
        """Return one text a prompt, which is a text or a conversation.

        Raises:
            SamDataError: The service has no answer to one of them; answers to the others are kept.
            SamConfigurationError: The service refuses, is gone, or the account is used up.
        """
        with ThreadPoolExecutor(self._concurrency) as pool:
            asked = [pool.submit(self._answer, prompt) for prompt in prompts]
            try:
                return [future.result() for future in asked]
            except SamConfigurationError:  # nothing more is sent; what is on its way comes home
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _answer(self, prompt: str | Messages) -> str:
        asked = prompt if isinstance(prompt, str) else json.dumps(prompt)
        key = key_of({**self._request, "endpoint": self._transport.shown_url}, asked, ())
        entry = self._cache.entry(key)
        if entry is None:
            # Another worker may be asking the very same at the moment.
            with waited_lock(self._folder / "asking" / key):
                entry = self._cache.entry(key)
                if entry is None:
                    text, facts = self._paid(prompt)
                    self._cache.put(key, text, facts)
                    entry = {"text": text, **facts}
        problem = unanswered(entry["text"], entry)
        if problem is not None:
            raise SamDataError(f"{self._place}: {problem}")
        return str(entry["text"])

    def _paid(self, prompt: str | Messages) -> tuple[str, dict[str, Any]]:
        """Ask until there is an answer, with the failures sorted into those of a question and those of the run."""
        place = f"{self._place}: {self._transport.shown_url}"
        try:
            found = retry(lambda: self._attempt(prompt), self._policy, self._sleep)
        except UnansweredError as error:
            raise SamDataError(f"{place}: {self._transport.clean(str(error))}") from error
        except RefusedError as error:
            raise SamConfigurationError(
                f"{place}: {self._transport.clean(str(error))}. Correct url, model or key; --resume goes on from here."
            ) from error
        except FailedError as error:
            self._failures += 1
            said = self._transport.clean(str(error))
            if self._failures >= _MOST_FAILURES:
                raise SamConfigurationError(
                    f"{place}: no answer to {self._failures} questions in a row, the last time: {said}. When the "
                    "service is back, --resume goes on from here."
                ) from error
            raise SamDataError(f"{place}: {said}, {self._policy.attempts} times") from error
        self._failures = 0
        return found

    def _attempt(self, prompt: str | Messages) -> tuple[str, dict[str, Any]]:
        """Send one request, with its place in the account; one that was surely for nothing costs nothing."""
        self._rate.wait(self._sleep)
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        read = sum(text_tokens(message["content"]) for message in messages)
        most = Cost(1, read, self._request["max_tokens"])
        body = {**self._request, "messages": messages}
        return paid_answer(self._transport, body, self.account, most, self._place)


@contextmanager
def waited_lock(folder: Path) -> Iterator[None]:
    """Have a folder to oneself, after waiting for other threads and processes."""
    while True:
        lock = locked(folder, "or use another folder for the answers.")
        try:
            lock.__enter__()
        except SamConfigurationError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            time.sleep(_POLL_SECONDS)
            continue
        break
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
