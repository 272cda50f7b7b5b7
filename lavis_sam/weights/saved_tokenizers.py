"""Tokenizers that transformers 5 saved again: of a folder with `tokenizer.model` or `vocab.txt` it keeps one
`tokenizer.json`, which says the same in the words of the `tokenizers` library.

Here both become again what they were, so that texts are cut up by the same code whichever file a folder has.
"""

import re
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2

from lavis_sam.errors import SamCheckpointError
from lavis_sam.files import UnusableFileError, load_bytes, read_json

JSON_FILE = "tokenizer.json"
# The largest that are published have some 30 MB.
MAX_BYTES = 64 << 20
_MAX_PIECES = 1 << 20
_REMEDY = "Fetch the tokenizer again, with transformers' save_pretrained or from where the model was published."
_LLAMA_PIECES = ("<unk>", "<s>", "</s>")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_Piece = sentencepiece_model_pb2.ModelProto.SentencePiece


def read_saved(path: Path) -> dict[str, Any]:
    """Read a `tokenizer.json`.

    Raises:
        SamCheckpointError: It is missing, damaged or holds no model.
    """
    saved = read_json(path, remedy=_REMEDY, error=SamCheckpointError, wanted=dict, most_bytes=MAX_BYTES)
    if not isinstance(saved.get("model"), dict):
        raise SamCheckpointError(f"{path}: holds no tokenizer (model is {saved.get('model')!r:.200}). {_REMEDY}")
    return saved


def read_bounded(path: Path) -> bytes:
    """Read a file of a tokenizer.

    Raises:
        SamCheckpointError: It cannot be read, or has more than `MAX_BYTES`.
    """
    try:
        return load_bytes(path, most_bytes=MAX_BYTES)
    except UnusableFileError as problem:
        raise SamCheckpointError(f"{path}: {problem}. {_REMEDY}") from problem


def is_llama(saved: dict[str, Any]) -> bool:
    """Return whether a `tokenizer.json` was made of a sentencepiece model of Llama's kind."""
    model = saved["model"]
    vocabulary = model.get("vocab")
    if model.get("type") != "BPE" or model.get("byte_fallback") is not True or not isinstance(vocabulary, dict):
        return False
    return all(vocabulary.get(piece) == number for number, piece in enumerate(_LLAMA_PIECES))


def llama_model(path: Path) -> bytes:
    """Return the sentencepiece model that a `tokenizer.json` of a Llama was made of.

    Tokens that were added behind the vocabulary ([PAD], <image>) are left out, as `tokenizer.model` has none.

    Raises:
        SamCheckpointError: It is damaged, or of another kind.
    """
    saved = read_saved(path)
    if not is_llama(saved):
        raise SamCheckpointError(f"{path}: was not made of a sentencepiece model of Llama's kind. {_REMEDY}")
    pieces, merged = _pieces(saved, path), _merge_ranks(saved, path)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    proto.trainer_spec.vocab_size = len(pieces)
    proto.trainer_spec.byte_fallback = True
    proto.trainer_spec.unk_id, proto.trainer_spec.bos_id, proto.trainer_spec.eos_id = range(3)
    proto.trainer_spec.pad_id = -1
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = _adds_blank(saved)
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = True
    for number, text in enumerate(pieces):
        kind = _Piece.UNKNOWN if number == 0 else _Piece.CONTROL if number < len(_LLAMA_PIECES) else _Piece.NORMAL
        kind = _Piece.BYTE if _BYTE.fullmatch(text) else kind
        # Of two pairs, sentencepiece joins the one whose piece has the higher score; pieces of one letter need none.
        proto.pieces.add(piece=text, type=kind, score=-float(merged.get(text, len(merged) + number)))
    return proto.SerializeToString()


def bert_vocabulary(path: Path) -> list[str]:
    """Return the lines of the `vocab.txt` that a `tokenizer.json` of a BERT was made of.

    Raises:
        SamCheckpointError: It is damaged or of another kind, or [DEC] stands elsewhere than behind the last one.
    """
    saved = read_saved(path)
    if saved["model"].get("type") != "WordPiece":
        raise SamCheckpointError(f"{path}: is a {saved['model'].get('type')!r:.200}, 'WordPiece' is wanted. {_REMEDY}")
    pieces, added = _pieces(saved, path), saved.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and token.get("content") == "[DEC]" and token.get("id") not in (None, len(pieces)):
            raise SamCheckpointError(
                f"{path}: [DEC] has id {token['id']!r:.200}, {len(pieces)} is wanted, behind the last word. {_REMEDY}"
            )
    return pieces


def _pieces(saved: dict[str, Any], path: Path) -> list[str]:
    """Return the vocabulary in the order of its ids, which have no gap."""
    vocabulary = saved["model"].get("vocab")
    if not isinstance(vocabulary, dict) or not 1 <= len(vocabulary) <= _MAX_PIECES:
        raise SamCheckpointError(f"{path}: has no vocabulary of 1 to {_MAX_PIECES} pieces. {_REMEDY}")
    by_number = {number: piece for piece, number in vocabulary.items() if type(number) is int}
    if by_number.keys() != set(range(len(vocabulary))):
        raise SamCheckpointError(f"{path}: the ids of its pieces are not 0 to {len(vocabulary) - 1}. {_REMEDY}")
    pieces = [by_number[number] for number in range(len(vocabulary))]
    strange = [piece for piece in pieces if not piece or re.search("[\n\0\ud800-\udfff]", piece)]
    if strange:
        raise SamCheckpointError(f"{path}: {strange[0]!r:.200} is no piece of text. {_REMEDY}")
    return pieces


def _merge_ranks(saved: dict[str, Any], path: Path) -> dict[str, int]:
    """Return piece -> how early two others are joined to it. Merges are pairs; in older files, pairs in one text."""
    ranks: dict[str, int] = {}
    merges = saved["model"].get("merges")
    for merge in merges if isinstance(merges, list) else [None]:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise SamCheckpointError(f"{path}: {merge!r:.200} is no pair of pieces (merges). {_REMEDY}")
        ranks.setdefault("".join(pair), len(ranks))
    return ranks


def _adds_blank(saved: dict[str, Any]) -> bool:
    """Return whether a text is read as if a blank stood before it, which two kinds of settings say."""
    waiting: list[Any] = [saved.get("normalizer"), saved.get("pre_tokenizer")]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, dict):
            continue
        if part.get("type") == "Prepend" or (part.get("type") == "Metaspace" and part.get("prepend_scheme") != "never"):
            return True
        for inner in ("normalizers", "pretokenizers"):
            waiting += part[inner] if isinstance(part.get(inner), list) else []
    return False
