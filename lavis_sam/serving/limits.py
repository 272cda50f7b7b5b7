"""What a request may be; whatever is more is refused before it costs memory or time."""

from dataclasses import dataclass, fields

from lavis_sam.errors import SamConfigurationError


class RequestRefusedError(Exception):
    """A request that is not answered, and why.

    Attributes:
        status: The HTTP status.
        code: A word for programs.
        param: The key of the request that is wrong, where it is one.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_value", param: str = "") -> None:
        """Keep the facts."""
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Attributes:
        requests: Requests at a time, those that wait included; the next one gets 429.
        bytes: Of a request's body.
        images: Of a request.
        pixels: Of an image, as its header says.
        characters: Of all texts of a request.
        new_tokens: Of an answer.
        beams: Of a search, and answers to one request.
        seconds: From a request's head to its answer, or to the end of its stream.

    Raises:
        SamConfigurationError: One is not above 0.
    """

    requests: int = 256
    bytes: int = 20 * 1024**2
    images: int = 16
    pixels: int = 2**25
    characters: int = 16_384
    new_tokens: int = 512
    beams: int = 16
    seconds: float = 120.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not value > 0:
                raise SamConfigurationError(f"limit of {limit.name}: found {value}, wanted a number above 0.")
