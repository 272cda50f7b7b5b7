"""The two tokenizers from their files.

The language model's is read by sentencepiece itself where a folder has a `tokenizer.model` with Llama's special pieces
(transformers' Llama tokenizer classes disagree with each other about the start token and about unknown pieces,
sentencepiece gives the released ids on every version), or a `tokenizer.json` made of one, and by the `tokenizers`
library from a `tokenizer.json` otherwise. The Q-Former's is transformers' BertTokenizer.
"""

import contextlib
import tempfile
import threading
from pathlib import Path

import sentencepiece
from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import build_hf_headers, get_session, validate_repo_id
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from lavis_sam.errors import SamCheckpointError
from lavis_sam.models.language.tokenizers import (
    LLM_REMEDY,
    FastTextTokenizer,
    LlamaSentencePieceTokenizer,
    TextTokenizer,
)
from lavis_sam.weights.saved_tokenizers import (
    JSON_FILE,
    MAX_BYTES,
    bert_vocabulary,
    is_llama,
    llama_model,
    read_bounded,
    read_saved,
)

HUB_TIMEOUT_SECONDS = 5.0
MODEL_FILE, VOCABULARY_FILE = "tokenizer.model", "vocab.txt"
# What transformers reads of a folder with `tokenizer.json`.
_FAST_FILES = (
    JSON_FILE,
    MODEL_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "config.json",
)
BERT_SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BERT_REMEDY = (
    "Point model.bert_tokenizer in the config, or LAVIS_SAM_BERT in the environment, to bert-base-uncased's vocab.txt "
    "or its folder; model_type: tiny works offline"
)


def load_tokenizer(source: str | Path, *, json_first: bool = False) -> TextTokenizer:
    """Load a language model's tokenizer.

    Args:
        source: a folder with `tokenizer.model` or `tokenizer.json`, or one of these files.
        json_first: of a folder with both, read `tokenizer.json`, which has the model's own start token; otherwise
            `tokenizer.model`, which is read as InstructBLIP reads Vicuna's.

    Raises:
        SamCheckpointError: neither file is there, or one is damaged or too large.
    """
    path = find_llm_tokenizer(Path(source), json_first=json_first)
    if path is None:
        raise SamCheckpointError(
            f"The LLM's tokenizer is missing: no file {Path(source) / MODEL_FILE}, and no {JSON_FILE}. {LLM_REMEDY}."
        )
    if path.name == JSON_FILE and (json_first or not is_llama(read_saved(path))):
        return _load_fast(path.parent)
    model = llama_model(path) if path.name == JSON_FILE else read_bounded(path)
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    except (RuntimeError, OSError, UnicodeDecodeError) as error:  # the last one, of a message with damaged pieces
        raise SamCheckpointError(
            f"{path} is no sentencepiece model ({error}); it may be damaged or a Git LFS pointer. {LLM_REMEDY}."
        ) from error
    return LlamaSentencePieceTokenizer(processor)


def find_llm_tokenizer(source: Path, *, json_first: bool = False) -> Path | None:
    """Return the file that `load_tokenizer` reads; None where there is none."""
    names = (JSON_FILE, MODEL_FILE) if json_first else (MODEL_FILE, JSON_FILE)
    files = (source, *(source / name for name in names))
    return next((path for path in files if path.is_file()), None)


def _load_fast(folder: Path) -> FastTextTokenizer:
    """Return the tokenizer of a folder with `tokenizer.json`; nothing in the folder is run."""
    for path in (folder / name for name in _FAST_FILES):
        if path.is_file():
            read_bounded(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the libraries below raise whatever they like at a damaged file
        raise SamCheckpointError(f"{folder}: the tokenizer cannot be read ({error}). {LLM_REMEDY}.") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise SamCheckpointError(
            f"{folder}: the tokenizer is a {type(tokenizer).__name__}, one of the `tokenizers` library is wanted "
            f"(tokenizer.json). {LLM_REMEDY}."
        )
    return FastTextTokenizer(tokenizer)


def load_q_former_tokenizer(source: str | Path, *, vocabulary: int | None = None) -> BertTokenizer:
    """Load the tokenizer that reads the instruction for the Q-Former.

    It lower-cases, truncates on the left, and has LAVIS's `[DEC]` appended as its last token.

    Args:
        source: a folder with `vocab.txt` or `tokenizer.json`, one of these files, or a hub name such as
            `bert-base-uncased`.
        vocabulary: rows of the Q-Former's word embedding, `[DEC]` included (30,523 for the real one).

    Raises:
        SamCheckpointError: no vocabulary was found, it is too large or no BERT vocabulary, or its size is another one.
    """
    path = find_bert_vocabulary(source)
    if path is None:
        raise SamCheckpointError(
            f"The Q-Former's tokenizer is missing: {str(source)!r} is neither a vocab.txt or tokenizer.json, nor a "
            f"folder with one, nor in the local hub cache, and the hub does not provide it now. {BERT_REMEDY}."
        )
    if path.name == JSON_FILE:
        pieces = bert_vocabulary(path)
    else:
        pieces = read_bounded(path).decode("utf-8", errors="replace").splitlines()
    absent = [piece for piece in BERT_SPECIAL_PIECES if piece not in pieces]
    if absent:
        raise SamCheckpointError(
            f"{path} is no BERT vocabulary: it has {len(pieces)} lines and lacks {', '.join(absent)}. {BERT_REMEDY}."
        )
    with tempfile.TemporaryDirectory() as folder:  # transformers 4 reads words from a file alone
        if path.name == JSON_FILE:
            words = Path(folder) / VOCABULARY_FILE
            words.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
        else:
            words = path
        tokenizer = BertTokenizer(str(words), do_lower_case=True, truncation_side="left")
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    if vocabulary is not None and len(tokenizer) != vocabulary:
        raise SamCheckpointError(
            f"{path} gives {len(tokenizer)} tokens with [DEC], but the Q-Former has {vocabulary} rows. {BERT_REMEDY}."
        )
    return tokenizer


def find_bert_vocabulary(source: str | Path) -> Path | None:
    """Find the `vocab.txt`, or in a folder without one the `tokenizer.json`, that `source` names.

    Returns:
        Where it is: on disk, in the local hub cache, or downloaded from the hub; None when nowhere.

    Raises:
        SamCheckpointError: The hub's has more bytes than a vocabulary; it is not downloaded.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return next((path / name for name in (VOCABULARY_FILE, JSON_FILE) if (path / name).is_file()), None)
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
    """Download a hub model's `vocab.txt`; None as soon as the hub turns out not to answer.

    `hf_hub_download` alone retries for 23 seconds without a network. A plain request asks first, in a thread, because
    a name lookup cannot be given a time limit.
    """
    answers: list[tuple[int, int]] = []

    def ask() -> None:
        url, headers = hf_hub_url(name, "vocab.txt"), build_hf_headers()
        # Each release of the hub's library has its own families of network errors; all of them mean "no answer".
        with contextlib.suppress(Exception):
            answer = get_session().head(url, headers=headers, timeout=HUB_TIMEOUT_SECONDS)
            # The first is the size of a file of the hub's large file storage, to which the answer leads.
            size = answer.headers.get("X-Linked-Size") or answer.headers.get("Content-Length") or 0
            answers.append((answer.status_code, int(size)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_SECONDS)
    if not answers or answers[0][0] >= 400:
        return None
    if (size := answers[0][1]) > MAX_BYTES:
        raise SamCheckpointError(
            f"{name}: the hub's {VOCABULARY_FILE} has {size} bytes, wanted at most {MAX_BYTES}; it was not downloaded. "
            f"{BERT_REMEDY}."
        )
    try:
        return Path(hf_hub_download(name, "vocab.txt"))
    except OSError:
        return None
