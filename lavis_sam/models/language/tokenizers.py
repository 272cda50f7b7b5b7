"""How a language model's text becomes token ids and back.

`TextTokenizer` is what the package needs of a tokenizer. Two implementations exist: sentencepiece with the special
tokens of the released code (Llama, Vicuna), and the `tokenizers` library (byte-level BPE: Llama 3, Qwen2, SmolLM2, …).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sentencepiece
import torch
from transformers import PreTrainedTokenizerFast

from lavis_sam.errors import SamCheckpointError

Side = Literal["left", "right"]

LLM_REMEDY = (
    "Point model.llm_model in the config, or LAVIS_SAM_VICUNA in the environment, to a Vicuna folder; model_type: tiny "
    "works offline"
)


@dataclass(frozen=True)
class TokenBatch:
    """Padded token ids.

    Attributes:
        input_ids: int64 [B, T].
        attention_mask: int64 [B, T], 1 where `input_ids` is real and 0 where it is padding.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor


class TextTokenizer(ABC):
    """A language model's tokenizer. Text is only text: a literal special token in it is spelled out, never obeyed.

    Attributes:
        start_ids: the ids that every sequence begins with; none where the language model knows no start token.
        eos_token_id: the end token.
        pad_token_id: what pads a batch; masked wherever it stands.
        unk_token_id: the id of what the vocabulary cannot spell; None where it can spell everything.
        adds_pad_row: whether the padding token is a row that files of the language model lack.
        sequence_start_id: a token that is never embedded, but whose repetition a search penalises; None where there is
            none.
    """

    start_ids: tuple[int, ...]
    eos_token_id: int
    pad_token_id: int
    unk_token_id: int | None
    adds_pad_row: bool
    sequence_start_id: int | None

    @abstractmethod
    def __len__(self) -> int:
        """Return how many rows the language model's embedding needs at least."""

    @abstractmethod
    def _split(self, text: str) -> list[int]:
        """Return the ids of a text, without special ones."""

    @abstractmethod
    def _join(self, ids: list[int]) -> str:
        """Return the text of ids without special ones."""

    @abstractmethod
    def _special(self) -> dict[int, str]:
        """Return the special ids that stand in sequences, and how they read."""

    def encode(
        self, text: str, *, append_eos: bool = False, max_length: int | None = None, truncation_side: Side = "right"
    ) -> list[int]:
        """Turn a text into at least one id.

        Args:
            max_length: the most ids to return, `start_ids` included.
            truncation_side: the side to cut; `start_ids` stay.
        """
        return self._encode(text, append_eos, max_length, truncation_side) or [self.eos_token_id]

    def encode_target(self, text: str, *, append_eos: bool = True, max_length: int | None = None) -> list[int]:
        """Turn a text that follows another one into ids without `start_ids`.

        Args:
            max_length: one more than the most ids where there is a start token; longer targets lose their end.
        """
        return self._encode(text, append_eos, max_length, "right")[len(self.start_ids) :]

    def _encode(self, text: str, append_eos: bool, max_length: int | None, truncation_side: Side) -> list[int]:
        pieces = self._split(text)
        if append_eos:
            pieces.append(self.eos_token_id)
        if max_length is not None:
            surplus = max(0, len(pieces) - (max_length - len(self.start_ids)))
            pieces = pieces[surplus:] if truncation_side == "left" else pieces[: len(pieces) - surplus]
        return [*self.start_ids, *pieces]

    def pad(self, rows: Sequence[Sequence[int]], *, padding_side: Side = "right") -> TokenBatch:
        """Pad rows of ids to the longest one."""
        width = max(len(row) for row in rows)
        input_ids = torch.full((len(rows), width), self.pad_token_id)
        attention_mask = torch.zeros_like(input_ids)
        for index, row in enumerate(rows):
            columns = slice(width - len(row), width) if padding_side == "left" else slice(0, len(row))
            input_ids[index, columns] = torch.tensor(row, dtype=torch.long)
            attention_mask[index, columns] = 1
        return TokenBatch(input_ids, attention_mask)

    def __call__(
        self,
        texts: Sequence[str],
        *,
        padding_side: Side = "right",
        truncation_side: Side = "right",
        max_length: int | None = None,
        append_eos: bool = False,
    ) -> TokenBatch:
        """Encode and pad B texts; the arguments are those of `encode` and `pad`."""
        rows = [
            self.encode(text, append_eos=append_eos, max_length=max_length, truncation_side=truncation_side)
            for text in texts
        ]
        return self.pad(rows, padding_side=padding_side)

    def decode(self, ids: Sequence[int] | torch.Tensor, *, skip_special_tokens: bool = True) -> str:
        """Turn ids [T] back into text; special ids are left out, or read as their names."""
        special = self._special()
        text, pieces = "", []
        for token in torch.as_tensor(ids).tolist():
            if token not in special:
                pieces.append(token)
            elif not skip_special_tokens:
                text, pieces = text + self._join(pieces) + special[token], []
        return text + self._join(pieces)

    def batch_decode(
        self, rows: Sequence[Sequence[int]] | torch.Tensor, *, skip_special_tokens: bool = True
    ) -> list[str]:
        """Decode every row of ids [B, T]."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in rows]


class LlamaSentencePieceTokenizer(TextTokenizer):
    """A Llama vocabulary with the special tokens of the released code.

    InstructBLIP makes `</s>` (2) the start, end and unknown token and appends `[PAD]` after the last piece. So every
    text begins with 2, not with `<s>` (1). Pieces that sentencepiece does not know keep its own id 0. White space
    before an appended end token is dropped, as the released tokenizer drops it.

    Args:
        processor: a sentencepiece model with `<unk>`, `<s>`, `</s>` at ids 0, 1, 2, as every Llama's has.

    Raises:
        SamCheckpointError: the three special pieces are elsewhere.
    """

    unk_token_id = 0
    adds_pad_row = True
    sequence_start_id = 1  # `<s>`

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        found = (processor.unk_id(), processor.bos_id(), processor.eos_id())
        if found != (0, 1, 2):
            raise SamCheckpointError(
                f"The sentencepiece model has <unk>, <s>, </s> at ids {found}; a Llama tokenizer has them at (0, 1, 2)."
                f" {LLM_REMEDY}."
            )
        self._processor = processor
        self.eos_token_id = processor.eos_id()
        self.start_ids = (self.eos_token_id,)
        self.pad_token_id = processor.get_piece_size()

    def __len__(self) -> int:
        """Return how many pieces there are, and one for `[PAD]`."""
        return self.pad_token_id + 1

    def serialized(self) -> bytes:
        """Return the sentencepiece model as it stands in a `tokenizer.model` file."""
        return self._processor.serialized_model_proto()

    def _encode(self, text: str, append_eos: bool, max_length: int | None, truncation_side: Side) -> list[int]:
        return super()._encode(text.rstrip() if append_eos else text, append_eos, max_length, truncation_side)

    def _split(self, text: str) -> list[int]:
        return self._processor.encode(text)

    def _join(self, ids: list[int]) -> str:
        return self._processor.decode(ids)

    def _special(self) -> dict[int, str]:
        return {self.eos_token_id: "</s>", self.pad_token_id: "[PAD]"}


class FastTextTokenizer(TextTokenizer):
    """A tokenizer of the `tokenizers` library with its model's own special tokens.

    A sequence begins as the tokenizer itself begins it: with a start token (Llama 3) or with none (Qwen2). Where it has
    no padding token the end token pads, so that no row is added to the language model. A target is separated from the
    prompt by a blank, as sentencepiece does by itself.

    Args:
        tokenizer: transformers' tokenizer, of which the settings are read; it is not changed.

    Raises:
        SamCheckpointError: it has no end token.
    """

    unk_token_id = None
    adds_pad_row = False
    sequence_start_id = None

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        eos = tokenizer.eos_token_id
        if eos is None:
            raise SamCheckpointError(
                "The LLM's tokenizer has no end token, so no answer would ever end; set eos_token in its "
                "tokenizer_config.json."
            )
        self._backend = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_padding()
        self._backend.no_truncation()
        self.eos_token_id = int(eos)
        self.pad_token_id = int(eos if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
        blank = self._backend.encode("").ids
        has_start = tokenizer.bos_token_id is not None and tokenizer.bos_token_id in blank[:1]
        self.start_ids = (int(tokenizer.bos_token_id),) if has_start else ()
        one = self._split("x")
        self._separates = self._join([*one, *one]) != "xx"

    def __len__(self) -> int:
        """Return how many tokens there are, added ones included; an embedding may have more rows."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    def encode_target(self, text: str, *, append_eos: bool = True, max_length: int | None = None) -> list[int]:
        """Turn a text that follows another one into ids; see `TextTokenizer.encode_target`."""
        blank = "" if self._separates or not text or text[0].isspace() else " "
        return super().encode_target(blank + text, append_eos=append_eos, max_length=max_length)

    def _split(self, text: str) -> list[int]:
        self._backend.encode_special_tokens = True  # pickling forgets it
        return self._backend.encode(text, add_special_tokens=False).ids

    def _join(self, ids: list[int]) -> str:
        return self._backend.decode(ids, skip_special_tokens=True)

    def _special(self) -> dict[int, str]:
        ids = {*self.start_ids, self.eos_token_id, self.pad_token_id}
        return {token: str(self._backend.id_to_token(token)) for token in ids}
