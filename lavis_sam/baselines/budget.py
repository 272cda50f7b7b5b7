"""What a run may cost at most: counted before a request is sent, not after the bill has come."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lavis_sam.errors import SamConfigurationError

_MILLION = 1_000_000
# Of one text: English has 4 bytes a token, most other scripts fewer; what the service wraps around it comes on top.
_BYTES_PER_TOKEN, _FRAME_TOKENS = 2, 20


@dataclass(frozen=True)
class Cost:
    """Requests and tokens, used or expected.

    Attributes:
        requests: Questions that were, or may have been, answered; one that was turned away at the door is none.
        input_tokens: Of instructions and images.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def __sub__(self, other: "Cost") -> "Cost":
        return self + Cost(-other.requests, -other.input_tokens, -other.output_tokens)


class Exceeded(NamedTuple):
    """A limit, the setting that holds it, what is needed, and the most that is allowed."""

    name: str
    key: str
    needed: float
    most: float


@dataclass(frozen=True)
class Limits:
    """The most that one run may use; None is no limit.

    Attributes:
        tokens: Of input and output together.
        input_price: Of a million input tokens.
        output_price: Of a million output tokens.
        images: In one question.

    Raises:
        SamConfigurationError: A limit below 0, or one on spending without prices.
    """

    requests: int | None = 100
    tokens: int | None = None
    spending: float | None = None
    input_price: float | None = None
    output_price: float | None = None
    images: int = 16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value >= 0:
                raise SamConfigurationError(f"limits: {name} is {value!r}; wanted a number that is not below 0.")
        if self.spending is not None and None in (self.input_price, self.output_price):
            raise SamConfigurationError(
                f"limits: found spending {self.spending} without both prices; wanted input_price and output_price, "
                "each of a million tokens, in the same currency."
            )

    def price(self, cost: Cost) -> float | None:
        """Return what that costs; None where the prices are not known."""
        if self.input_price is None or self.output_price is None:
            return None
        return (cost.input_tokens * self.input_price + cost.output_tokens * self.output_price) / _MILLION

    def exceeded(self, cost: Cost) -> Iterator[Exceeded]:
        """Yield every limit that this would go over."""
        for name, key, needed, most in (
            ("requests", "max_requests", cost.requests, self.requests),
            ("tokens", "max_total_tokens", cost.input_tokens + cost.output_tokens, self.tokens),
            ("money", "max_spending", self.price(cost), self.spending),
        ):
            if needed is not None and most is not None and needed > most:
                yield Exceeded(name, key, needed, most)


class Budget:
    """Keeps account of a run, for any number of threads."""

    def __init__(self, limits: Limits) -> None:
        """Start with nothing used."""
        self.limits = limits
        self._used = Cost()
        self._lock = threading.Lock()

    @property
    def used(self) -> Cost:
        """What was used, answers that are still awaited included at their most."""
        return self._used

    def check(self, cost: Cost, what: str) -> None:
        """Refuse what would go over a limit.

        Raises:
            SamConfigurationError: The message names need and limit.
        """
        for limit in self.limits.exceeded(self._used + cost):
            raise SamConfigurationError(
                f"{what} would take this run to at most {limit.needed:,} of {limit.name}; the limit is {limit.most:,}. "
                f"Nothing of it was sent. Allow more with --{limit.key.replace('_', '-')}, or ask less."
            )

    def reserve(self, cost: Cost, what: str) -> None:
        """Count a request before it is sent.

        Raises:
            SamConfigurationError: It would go over a limit.
        """
        with self._lock:
            self.check(cost, what)
            self._used += cost

    def settle(self, reserved: Cost, actual: Cost) -> None:
        """Replace what was reserved by what the service counted."""
        with self._lock:
            self._used += actual - reserved


def text_tokens(text: str) -> int:
    """Return more tokens than a text has."""
    return len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN + _FRAME_TOKENS


def image_tokens(longest_side: int) -> int:
    """Count an image's tokens as OpenAI does those of GPT-4V in high detail: 170 for each tile of 512 pixels, and 85.

    Args:
        longest_side: Pixels; the image counts as a square.
    """
    return 85 + 170 * (-(-longest_side // 512)) ** 2
