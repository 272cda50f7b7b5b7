"""A vision model behind an OpenAI-compatible URL: GPT-4V, Gemini's compatible endpoint, vLLM and others."""

import base64
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import Any

from lavis_sam.baselines.budget import Budget, Cost, Limits, image_tokens, text_tokens
from lavis_sam.baselines.cache import AnswerCache, key_of
from lavis_sam.baselines.jpeg import ImageBounds, jpeg_within
from lavis_sam.baselines.reply import paid_answer, unanswered, without_thoughts
from lavis_sam.baselines.retry import RequestRate, RetryPolicy, retry
from lavis_sam.baselines.transport import EmptyReplyError, FailedError, RefusedError, Transport, UnansweredError
from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.fingerprint import IMAGES
from lavis_sam.evaluation.model import EvaluationSample, ImageTextModel
from lavis_sam.evaluation.prediction_log import Record

logger = logging.getLogger(__name__)

# The most new tokens of the published decoding; its five beams are not for sale, so the most likely words it is.
PUBLISHED_TOKENS = 255
FIXED_KEYS = ("", "model", "messages", "n", "stream")


@dataclass(frozen=True)
class RequestConfig:
    """How a sample is put; an answer depends on all of it.

    Attributes:
        temperature: Of the sampling; 0 takes the most likely words.
        images: Bounds of what is sent.
        image_tokens: What an image counts in an estimate; None for an estimate from the bounds.
        extra: Further keys of the request; None as a value takes a key out, for services that refuse it.

    Raises:
        SamConfigurationError: An impossible length, or a key that is not to be changed.
    """

    model: str
    max_tokens: int = PUBLISHED_TOKENS
    temperature: float = 0.0
    images: ImageBounds = field(default_factory=ImageBounds)
    image_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise SamConfigurationError(f"max_tokens: found {self.max_tokens}, wanted at least 1.")
        for name in self.extra:
            if name in FIXED_KEYS:
                raise SamConfigurationError(
                    f"request: found the key {name!r}, which is not to be changed: every sample gets one whole "
                    "answer of one model."
                )

    def request(self, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the body of a request whose one user turn has these parts."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": list(parts)}],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            **self.extra,
        }
        return {name: value for name, value in body.items() if value is not None}

    def cost(self, instruction: str, images: int) -> Cost:
        """Return what a sample costs at most."""
        of_image = self.image_tokens if self.image_tokens is not None else image_tokens(self.images.side)
        return Cost(1, text_tokens(instruction) + images * of_image, self._longest_answer())

    def _longest_answer(self) -> int:
        said = self.extra.get("max_completion_tokens")
        return max(self.max_tokens, said if isinstance(said, int) else 0)


class _GivenUpError(Exception):
    """Another sample of the batch failed, so this one is not sent."""


class EndpointModel(ImageTextModel):
    """Asks a service: every sample once, within a budget, at a bearable rate, and never again what it knows."""

    def __init__(
        self,
        transport: Transport,
        config: RequestConfig,
        cache: AnswerCache,
        *,
        limits: Limits | None = None,
        policy: RetryPolicy | None = None,
        requests_per_minute: float | None = None,
        concurrency: int = 4,
        skip_refused: bool = False,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Send nothing yet.

        Args:
            requests_per_minute: The most requests that start within a minute; None for no limit.
            concurrency: The most requests at a time.
            skip_refused: Take a sample that the service does not answer as answered with an empty text.
            sleep: Waits so many seconds; by default until then, or until another sample has failed.

        Raises:
            SamConfigurationError: An impossible setting.
        """
        if concurrency < 1:
            raise SamConfigurationError(f"concurrency: found {concurrency}, wanted at least 1.")
        self._transport, self._config, self._cache = transport, config, cache
        self.budget = Budget(limits or Limits())
        self._policy = policy or RetryPolicy()
        self._rate = RequestRate(requests_per_minute)
        self._concurrency, self._sleep = concurrency, sleep
        self._skip_refused = skip_refused
        self._refused: dict[int | str, str] = {}

    def describe(self) -> Mapping[str, Any]:
        """Return model, address, and how the sample is put."""
        settings = self._settings()
        del settings["model"]
        return {
            "model": self._config.model,
            # Nobody outside can fingerprint them; two services under one name are two models all the same.
            "weights": f"{self._config.model}, as {self._transport.shown_url} serves it",
            "prompt": f"one user turn: all {IMAGES}, then the instruction",
            "decoding": {name: settings.pop(name) for name in ("max_tokens", "temperature")},
            **settings,
        }

    def forecast(self, dataset: MultiImageDataset) -> Cost:
        """Return what it costs at most to have a data set answered, each question sent once; the cache costs nothing.

        Raises:
            SamConfigurationError: A sample has more images than the limits allow.
            SamDataError: An image cannot be read.
        """
        total = Cost()
        nothing_known = self._cache.is_empty
        for index, sample in enumerate(dataset.annotation):
            self._check_images(sample.id, len(sample.images))
            if not nothing_known:
                images = tuple(dataset.images(index))
                if self._cache.get(key_of(self._settings(), sample.instruction, images)) is not None:
                    continue
            total += self._config.cost(sample.instruction, len(sample.images))
        return total

    def answer(self, samples: Sequence[EvaluationSample]) -> list[str]:
        """Return one text for each sample.

        Raises:
            SamConfigurationError: The budget does not allow it, or the service refuses; the rest is not asked.
            SamDataError: The service failed as often as the policy allows, or said something else than an answer.
        """
        for sample in samples:
            self._check_images(sample.id, len(sample.images))
        if self._concurrency == 1 or len(samples) == 1:
            never = threading.Event()
            return [self._answer(sample, never) for sample in samples]
        given_up = threading.Event()
        with ThreadPoolExecutor(self._concurrency) as pool:
            asked = [pool.submit(self._answer, sample, given_up) for sample in samples]
            try:
                wait(asked, return_when=FIRST_EXCEPTION)
            finally:
                # After an error or Ctrl-C nothing more is sent; what is on its way comes home, and into the cache.
                if any(not future.done() or future.exception() for future in asked):
                    given_up.set()
                pool.shutdown(wait=True, cancel_futures=True)
        problems = [error for future in asked if not future.cancelled() and (error := future.exception())]
        # Whoever gave up because of somebody else's problem is not the one to tell of.
        problems.sort(key=lambda error: isinstance(error, _GivenUpError))
        if problems:
            raise problems[0]
        return [future.result() for future in asked]

    def records(self, batch: Sequence[EvaluationSample]) -> list[Record]:
        """Answer a batch; the record of a sample that was refused says why, as `refused`."""
        self._refused.clear()  # another data set may have the same names
        records = super().records(batch)
        for record in records:
            if record["sample_id"] in self._refused:
                record["refused"] = self._refused[record["sample_id"]]
        return records

    def _settings(self) -> dict[str, Any]:
        """Return what an answer depends on beside instruction and images."""
        settings = asdict(self._config)
        del settings["image_tokens"]
        # Earlier caches have the bounds of images under this name.
        settings["pictures"] = settings.pop("images")
        return {**settings, "extra": dict(self._config.extra), "endpoint": self._transport.shown_url}

    def _check_images(self, sample_id: int | str, count: int) -> None:
        most = self.budget.limits.images
        if count > most:
            raise SamConfigurationError(
                f"sample {sample_id!r}: found {count} images, the limit is {most}. Nothing of it was sent. Allow "
                "more with --max-images, or leave the sample out."
            )

    def _answer(self, sample: EvaluationSample, given_up: threading.Event) -> str:
        """Get the answer from the cache or the service; any failure sets `given_up`, and one that is set ends this."""
        place = f"sample {sample.id!r} at {self._transport.shown_url}"
        try:
            return self._known_or_paid(sample, place, given_up)
        except UnansweredError as error:
            said = self._transport.clean(str(error))
            if self._skip_refused:
                return self._skip(sample, place, said)
            given_up.set()
            raise SamConfigurationError(
                f"{place}: {said}. With --skip-refused such a sample counts as an empty answer, which is reported; "
                "answers so far are kept."
            ) from error
        except RefusedError as error:
            given_up.set()
            said = self._transport.clean(str(error))
            raise SamConfigurationError(f"{place}: {said}. Correct the request; answers so far are kept.") from error
        except FailedError as error:
            said = self._transport.clean(str(error))
            tries = f"It was tried up to {self._policy.attempts} times"
            is_empty = isinstance(error, EmptyReplyError)
            if is_empty and self._skip_refused:
                return self._skip(sample, place, f"{said}. {tries}")
            given_up.set()
            skip = ", or give --skip-refused, which takes an empty answer" if is_empty else ""
            raise SamDataError(f"{place}: {said}. {tries}; run again later{skip}; answers so far are kept.") from error
        except BaseException:
            given_up.set()
            raise

    def _skip(self, sample: EvaluationSample, place: str, said: str) -> str:
        """Take an empty answer, and keep why."""
        logger.warning("%s: %s; an empty answer is taken.", place, said)
        self._refused[sample.id] = said
        return ""

    def _known_or_paid(self, sample: EvaluationSample, place: str, given_up: threading.Event) -> str:
        """Return the answer from the cache or from the service, which goes into the cache, even if it is none.

        Raises:
            UnansweredError: There is none to this sample.
        """
        key = key_of(self._settings(), sample.instruction, sample.images)
        known = self._cache.entry(key)
        if known is None:
            text, facts = self._paid_answer(sample, place, given_up)
            self._cache.put(key, text, facts)
        else:
            text, facts = known["text"], known
            if "thought_letters" not in facts:  # of a version that kept thoughts
                text = without_thoughts(text, facts.get("finish_reason"))
        reason = unanswered(text, facts)
        if reason is not None:
            raise UnansweredError(reason)
        return text

    def _paid_answer(
        self, sample: EvaluationSample, place: str, given_up: threading.Event
    ) -> tuple[str, dict[str, Any]]:
        """Ask until there is an answer, within the budget."""
        body = self._config.request(self._parts(sample))
        most = self._config.cost(sample.instruction, len(sample.images))
        sleep = self._sleep or given_up.wait

        def attempt() -> tuple[str, dict[str, Any]]:
            self._rate.wait(sleep)
            if given_up.is_set():
                raise _GivenUpError
            return paid_answer(self._transport, body, self.budget, most, place)

        return retry(attempt, self._policy, sleep)

    def _parts(self, sample: EvaluationSample) -> list[dict[str, Any]]:
        images = [jpeg_within(image, self._config.images) for image in sample.images]
        parts: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"}}
            for data in images
        ]
        return [*parts, {"type": "text", "text": sample.instruction}]
