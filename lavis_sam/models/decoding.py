"""How to decode: the settings of `generate`, checked as soon as they are made."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError


@dataclass(frozen=True)
class Decoding:
    """How to decode; the defaults are the released ones.

    Attributes:
        use_nucleus_sampling: sample (from torch's global generator) instead of taking the best token; with several
            beams the beams are sampled.
        num_beams: beams; 1 is greedy.
        max_length: the longest sequence, an invisible start token included: 256 is at most 255 new tokens.
        min_length: the shortest one before the end token is allowed, counted alike.
        top_p: probability mass to sample from.
        repetition_penalty: above 1 makes tokens of the text so far less likely; the prompt does not count.
        length_penalty: exponent of the length that divides a beam's score; above 0 favours longer texts.
        num_captions: texts per sample.
        temperature: divides a step's logits before sampling. (4.33 divided the running sum of sampled beams anew at
            every step, which no longer resembled probabilities; at 1 there is no difference.)

    Raises:
        SamConfigurationError: a value is impossible, alone or together with another.
    """

    use_nucleus_sampling: bool = False
    num_beams: int = 5
    max_length: int = 256
    min_length: int = 1
    top_p: float = 0.9
    repetition_penalty: float = 1.5
    length_penalty: float = 1.0
    num_captions: int = 1
    temperature: float = 1.0

    @classmethod
    def from_mapping(cls, values: Mapping[Any, Any], place: str) -> "Decoding":
        """Read settings.

        Args:
            values: names of settings and their values.
            place: the configuration key or call that holds them, for messages.

        Raises:
            SamConfigurationError: unknown settings (all are named, each with the nearest known one), or an impossible
                value.
        """
        known = [setting.name for setting in fields(cls)]
        if unknown := [unknown_name("key", name, known, place) for name in values if name not in known]:
            raise SamConfigurationError("\n".join(unknown))
        return cls(**{str(name): value for name, value in values.items()})

    @property
    def branches(self) -> int:
        """How many continuations of each prompt are written at once: beams, or texts that are written one by one."""
        return self.num_beams if self.num_beams > 1 else self.num_captions

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.type is bool:
                self._require(setting.name, isinstance(value, bool), "true or false")
            elif setting.type is int:
                self._require(setting.name, isinstance(value, int) and not isinstance(value, bool), "a whole number")
            else:
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                self._require(setting.name, is_number and math.isfinite(value), "a finite number")
        self._require("num_beams", self.num_beams >= 1, "at least 1")
        self._require("max_length", self.max_length >= 2, "at least 2, which is one new token")
        self._require("min_length", 0 <= self.min_length <= self.max_length, f"0 to max_length ({self.max_length})")
        self._require("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        self._require("repetition_penalty", self.repetition_penalty > 0, "above 0 (1 is none)")
        self._require("temperature", self.temperature > 0, "above 0")
        self._require("num_captions", self.num_captions >= 1, "at least 1")
        if self.num_beams > 1 or not self.use_nucleus_sampling:
            self._require(
                "num_captions",
                self.num_captions <= self.num_beams,
                f"at most num_beams ({self.num_beams}), unless use_nucleus_sampling with num_beams 1",
            )

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise SamConfigurationError(
                f"{name} of generate is {getattr(self, name)!r}; wanted: {wanted}. Change it in the call, "
                "in the command's option, or under `run.decoding` in the config."
            )
