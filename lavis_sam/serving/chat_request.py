"""The JSON of `/v1/chat/completions`, checked: pydantic reads it, and what SAM cannot do is refused, never ignored."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.decoding import Decoding
from lavis_sam.serving.limits import Limits, RequestRefusedError

# Below, logits divided by it leave the range of numbers; 0 means the most likely words.
LOWEST_TEMPERATURE = 0.01
_Neutral = Annotated[float, Field(ge=0, le=0)]


class _Strict(BaseModel):
    """An object without unknown keys, in which null is the same as absent."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v is not None} if isinstance(values, dict) else values


class TextPart(_Strict):
    """A text of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(_Strict):
    """Where an image is; `detail` changes nothing, because the vision encoder has one size."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(_Strict):
    """An image of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class Message(_Strict):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]
    name: str = ""

    def parts(self) -> list[TextPart | ImagePart]:
        """Give the content as parts, in order."""
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class StreamOptions(_Strict):
    """Options of a stream; padding against observers (`include_obfuscation`) is not sent."""

    include_usage: bool = False
    include_obfuscation: bool = False


class ResponseFormat(_Strict):
    """The one format of an answer."""

    type: Literal["text"]


class ChatRequest(_Strict):
    """A request. The last group of keys changes no answer, or only stands here with the one value that SAM has."""

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: int = Field(1, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] = Field(default_factory=list)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    # SAM's own.
    num_beams: int | None = Field(None, ge=1)
    min_tokens: int | None = Field(None, ge=0)
    repetition_penalty: float | None = Field(None, ge=0.1, le=10)
    length_penalty: float | None = Field(None, ge=-10, le=10)

    user: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)
    store: bool = False
    service_tier: str = ""
    safety_identifier: str = ""
    prompt_cache_key: str = ""
    frequency_penalty: _Neutral = 0.0
    presence_penalty: _Neutral = 0.0
    logprobs: Literal[False] = False
    response_format: ResponseFormat = ResponseFormat(type="text")
    modalities: list[Literal["text"]] = Field(default_factory=list)
    tools: list[Any] = Field(default_factory=list, max_length=0)

    @classmethod
    def read(cls, body: bytes, limits: Limits) -> "ChatRequest":
        """Read a body.

        Raises:
            RequestRefusedError: It is no such request, or more than the limits allow.
        """
        try:
            request = cls.model_validate_json(body)
        except ValidationError as error:
            # Of a union, every way to read a value has its problem; the one that came furthest is what was meant.
            worst = max(error.errors(include_input=False, include_url=False), key=lambda found: len(found["loc"]))
            place = ".".join(str(part) for part in worst["loc"] if not str(part).startswith(("str", "list[")))
            raise RequestRefusedError(f"{place or 'the body'}: {worst['msg']}", param=place) from None
        request._check(limits)
        return request

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts before which an answer ends."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def prompt(self) -> str:
        """All texts of all messages in order, a line each: the language model was trained on single turns."""
        parts = (part for message in self.messages for part in message.parts())
        return "\n".join(part.text for part in parts if isinstance(part, TextPart))

    def images(self) -> Iterator[tuple[str, str]]:
        """Give each image's place in the request and its URL, in order."""
        for turn, message in enumerate(self.messages):
            for number, part in enumerate(message.parts()):
                if isinstance(part, ImagePart):
                    yield f"messages.{turn}.content.{number}.image_url", part.image_url.url

    def decoding(self) -> Decoding:
        """Return how to decode: without `temperature` the published way; a stream with one beam, as `SamPredictor`.

        A `top_p` below 1 samples even where no `temperature` is given.

        Raises:
            RequestRefusedError: The settings contradict one another.
        """
        temperature = self.temperature
        if temperature is None:
            temperature = 1.0 if (self.top_p or 1) < 1 else 0.0
        is_sampled = temperature > 0
        one_beam = is_sampled or (self.stream and self.n == 1)
        tokens = self.max_completion_tokens or self.max_tokens
        settings = {
            "num_beams": self.num_beams or (1 if one_beam else Decoding.num_beams),
            # Both count the start token, which nobody sees.
            "max_length": Decoding.max_length if tokens is None else tokens + 1,
            "min_length": Decoding.min_length if self.min_tokens is None else self.min_tokens + 1,
            "num_captions": self.n,
            "repetition_penalty": self.repetition_penalty,
            "length_penalty": self.length_penalty,
        }
        if is_sampled:
            settings |= {"use_nucleus_sampling": True, "temperature": temperature, "top_p": self.top_p}
        try:
            return Decoding(**{name: value for name, value in settings.items() if value is not None})  # type: ignore[arg-type]
        except SamConfigurationError as error:
            raise RequestRefusedError(
                f"{error} (In a request: num_captions is n, max_length is max_tokens + 1, min_length is min_tokens "
                "+ 1, and a temperature above 0 samples.)"
            ) from error

    def _check(self, limits: Limits) -> None:
        decoding, images = self.decoding(), 0
        for turn, message in enumerate(self.messages):
            count = sum(isinstance(part, ImagePart) for part in message.parts())
            images += count
            if count and message.role != "user":
                raise _refused(
                    f"messages.{turn}", f"{count} images in a message of the role {message.role}", "them in user's"
                )
        if self.max_tokens and self.max_completion_tokens and self.max_tokens != self.max_completion_tokens:
            raise _refused("max_tokens", f"{self.max_tokens} beside another max_completion_tokens", "one of them")
        if 0 < decoding.temperature < LOWEST_TEMPERATURE:
            raise _refused("temperature", decoding.temperature, f"0 or at least {LOWEST_TEMPERATURE}")
        if len(self.stops) > 4 or not all(self.stops):
            raise _refused("stop", f"{len(self.stops)} texts", "at most 4, none of them empty")
        if not images:
            raise _refused("messages", "no image", "at least one image_url in a user's message")
        for place, found, most, what in (
            ("messages", images, limits.images, "images"),
            ("messages", len(self.prompt), limits.characters, "characters"),
            ("n", self.n, limits.beams, "answers"),
            ("num_beams", decoding.num_beams, limits.beams, "beams"),
            ("max_tokens", decoding.max_length - 1, limits.new_tokens, "tokens"),
        ):
            if found > most:
                raise _refused(place, f"{found} {what}", f"at most {most}")


def _refused(place: str, found: object, wanted: str) -> RequestRefusedError:
    return RequestRefusedError(f"{place}: found {found}, wanted {wanted}.", param=place)
