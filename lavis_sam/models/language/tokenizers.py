"""The two tokenizers, set up as the released code sets them up.

The LLM reads text through sentencepiece itself: transformers' Llama tokenizer classes disagree with each other about
the start token and about unknown pieces, sentencepiece gives the released ids on every version. The Q-Former reads the
instruction through transformers' BertTokenizer.
"""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import sentencepiece
import torch
from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import build_hf_headers, get_session, validate_repo_id
from transformers import BertTokenizer

from lavis_sam.errors import SamCheckpointError

Side = Literal["left", "right"]

HUB_TIMEOUT_SECONDS = 5.0
BERT_SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BERT_REMEDY = (
    "Point model.bert_tokenizer in the config, or LAVIS_SAM_BERT in the environment, to bert-base-uncased's vocab.txt "
    "or its folder; model_type: tiny works offline"
)
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


class LlamaSentencePieceTokenizer:
    """A Llama vocabulary with the special tokens of the released code.

    InstructBLIP makes `</s>` (2) the start, end and unknown token and appends `[PAD]` after the last piece. So every
    text begins with 2, not with `<s>` (1). Pieces that sentencepiece does not know keep its own id 0. Text is only
    text here: a literal `</s>` or `[PAD]` in it is spelled out, never read as a special token.

    Args:
        processor: a sentencepiece model with `<unk>`, `<s>`, `</s>` at ids 0, 1, 2, as every Llama's has.

    Raises:
        SamCheckpointError: the three special pieces are elsewhere.
    """

    unk_token_id = 0
    sequence_start_id = 1
    """`<s>`: never embedded, but generation counts it in the length and penalises its repetition."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        found = (processor.unk_id(), processor.bos_id(), processor.eos_id())
        if found != (0, 1, 2):
            raise SamCheckpointError(
                f"The sentencepiece model has <unk>, <s>, </s> at ids {found}; a Llama tokenizer has them at (0, 1, 2)."
                f" {LLM_REMEDY}."
            )
        self._processor = processor
        self.bos_token_id: int = processor.eos_id()
        self.eos_token_id: int = processor.eos_id()
        self.pad_token_id: int = processor.get_piece_size()

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """Reads `tokenizer.model` of an LLM folder (or the file itself).

        Raises:
            SamCheckpointError: the file is missing or is no sentencepiece model.
        """
        path = Path(folder)
        path = path if path.is_file() else path / "tokenizer.model"
        if not path.is_file():
            raise SamCheckpointError(f"The LLM's tokenizer is missing: no file {path}. {LLM_REMEDY}.")
        try:
            processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            raise SamCheckpointError(
                f"{path} is no sentencepiece model ({error}); it may be damaged or a Git LFS pointer. {LLM_REMEDY}."
            ) from error
        return cls(processor)

    def __len__(self) -> int:
        """Rows that the LLM's embedding needs: all pieces and `[PAD]`."""
        return self.pad_token_id + 1

    def serialized(self) -> bytes:
        """The sentencepiece model as it stands in a `tokenizer.model` file."""
        return self._processor.serialized_model_proto()

    def encode(
        self, text: str, *, append_eos: bool = False, max_length: int | None = None, truncation_side: Side = "right"
    ) -> list[int]:
        """Turns a text into ids that begin with 2.

        Args:
            text: any text.
            append_eos: end with 2, as a training target does. White space before that end is dropped, as the released
                tokenizer drops it.
            max_length: the most ids to return, the leading 2 included.
            truncation_side: the side to cut; the leading 2 stays.
        """
        pieces = self._processor.encode(text.rstrip() if append_eos else text)
        if append_eos:
            pieces.append(self.eos_token_id)
        if max_length is not None:
            surplus = max(0, len(pieces) - (max_length - 1))
            pieces = pieces[surplus:] if truncation_side == "left" else pieces[: len(pieces) - surplus]
        return [self.bos_token_id, *pieces]

    def pad(self, rows: Sequence[Sequence[int]], *, padding_side: Side = "right") -> TokenBatch:
        """Pads rows of ids with `[PAD]` to the longest one."""
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
        """Encodes and pads B texts; the arguments are those of `encode` and `pad`."""
        rows = [
            self.encode(text, append_eos=append_eos, max_length=max_length, truncation_side=truncation_side)
            for text in texts
        ]
        return self.pad(rows, padding_side=padding_side)

    def decode(self, ids: Sequence[int] | torch.Tensor, *, skip_special_tokens: bool = True) -> str:
        """Turns ids back into text.

        Args:
            ids: ids [T]. `<s>` reads as nothing.
            skip_special_tokens: leave out 2 and `[PAD]`; otherwise they read `</s>` and `[PAD]`.
        """
        special = {self.eos_token_id: "</s>", self.pad_token_id: "[PAD]"}
        text, pieces = "", []
        for token in torch.as_tensor(ids).tolist():
            if token not in special:
                pieces.append(token)
            elif not skip_special_tokens:
                text, pieces = text + self._processor.decode(pieces) + special[token], []
        return text + self._processor.decode(pieces)

    def batch_decode(
        self, rows: Sequence[Sequence[int]] | torch.Tensor, *, skip_special_tokens: bool = True
    ) -> list[str]:
        """Decodes every row of ids [B, T]."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in rows]


def load_q_former_tokenizer(source: str | Path, *, vocabulary: int | None = None) -> BertTokenizer:
    """Loads the tokenizer that reads the instruction for the Q-Former.

    It lower-cases, truncates on the left, and has LAVIS's `[DEC]` appended as its last token.

    Args:
        source: a folder with `vocab.txt`, a `vocab.txt` file, or a hub name such as `bert-base-uncased`.
        vocabulary: rows of the Q-Former's word embedding, `[DEC]` included (30,523 for the real one).

    Raises:
        SamCheckpointError: no vocabulary was found, it is no BERT vocabulary, or its size is another one.
    """
    path = find_bert_vocabulary(source)
    if path is None:
        raise SamCheckpointError(
            f"The Q-Former's tokenizer is missing: {str(source)!r} is neither a vocab.txt, nor a folder with one, nor "
            f"in the local hub cache, and the hub does not provide it now. {BERT_REMEDY}."
        )
    pieces = path.read_text(encoding="utf-8", errors="replace").splitlines()
    absent = [piece for piece in BERT_SPECIAL_PIECES if piece not in pieces]
    if absent:
        raise SamCheckpointError(
            f"{path} is no BERT vocabulary: it has {len(pieces)} lines and lacks {', '.join(absent)}. {BERT_REMEDY}."
        )
    tokenizer = BertTokenizer(str(path), do_lower_case=True, truncation_side="left")
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    if vocabulary is not None and len(tokenizer) != vocabulary:
        raise SamCheckpointError(
            f"{path} gives {len(tokenizer)} tokens with [DEC], but the Q-Former has {vocabulary} rows. {BERT_REMEDY}."
        )
    return tokenizer


def find_bert_vocabulary(source: str | Path) -> Path | None:
    """Finds the `vocab.txt` that `source` names: on disk, in the local hub cache, on the hub; None when nowhere."""
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return path / "vocab.txt" if (path / "vocab.txt").is_file() else None
    name = str(source)
    try:
        validate_repo_id(name)
    except HFValidationError:  # a path that does not exist
        return None
    # The hub moved bert-base-uncased to google-bert/bert-base-uncased; a cache may hold it under either name.
    aliases = [name] if "/" in name else [name, f"google-bert/{name}"]
    for alias in aliases:
        cached = try_to_load_from_cache(alias, "vocab.txt")
        if isinstance(cached, str):
            return Path(cached)
    return _download_vocabulary(name)


def _download_vocabulary(name: str) -> Path | None:
    """Downloads a hub model's `vocab.txt`; None as soon as the hub turns out not to answer.

    `hf_hub_download` alone retries for 23 seconds without a network. A plain request asks first, in a thread, because
    a name lookup cannot be given a time limit.
    """
    answers: list[int] = []

    def ask() -> None:
        url, headers = hf_hub_url(name, "vocab.txt"), build_hf_headers()
        # Each release of the hub's library has its own families of network errors; all of them mean "no answer".
        with contextlib.suppress(Exception):
            answers.append(get_session().head(url, headers=headers, timeout=HUB_TIMEOUT_SECONDS).status_code)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_SECONDS)
    if not answers or answers[0] >= 400:
        return None
    try:
        return Path(hf_hub_download(name, "vocab.txt"))
    except OSError:
        return None
