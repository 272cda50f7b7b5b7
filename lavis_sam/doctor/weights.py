"""Weights and tokenizers: are they there, whole, of the right architecture, and the right ones?

Weights are checked by the loaders' own check, against a model without memory: names and shapes come from the files'
headers, so that 14 GB take seconds.
"""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from omegaconf import DictConfig

from lavis_sam.doctor.bases import check_base
from lavis_sam.doctor.findings import Finding, Verdict, run_check
from lavis_sam.errors import SamError
from lavis_sam.files import sha256_of
from lavis_sam.weights import pretrained
from lavis_sam.weights.build_model import build_model, read_sizes
from lavis_sam.weights.checkpoint_files import read_config, read_start
from lavis_sam.weights.checkpoints import LoadReport
from lavis_sam.weights.instructblip import InstructBlipFolder, load_base
from lavis_sam.weights.language_models import read_language_config
from lavis_sam.weights.locations import (
    WeightSource,
    chosen_language_model,
    finetuned_path,
    llm_tokenizer_path,
    open_instructblip,
    q_former_tokenizer_path,
    weight_sources,
)
from lavis_sam.weights.packaged import locate, locate_folder
from lavis_sam.weights.part_index import INDEX_FILE, OLD_INDEX_FILE, read_index
from lavis_sam.weights.saved_tokenizers import JSON_FILE
from lavis_sam.weights.streaming import open_file
from lavis_sam.weights.tokenizers import (
    find_bert_vocabulary,
    find_llm_tokenizer,
    load_q_former_tokenizer,
    load_tokenizer,
)
from lavis_sam.weights.trained import load_trained
from lavis_sam.weights.vicuna import REMEDY, guess_version

AREA = "weights"
# The tokenizers that InstructBLIP was trained with, by the SHA-256 of their files.
LLAMA_TOKENIZER = "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347"
BERT_VOCABULARY = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
# A text and its ids under these two, so that a tokenizer library that reads them otherwise is noticed.
LLAMA_GOLDEN = ("Hello world", [2, 15043, 3186])
BERT_GOLDEN = ("a photo of", [101, 1037, 6302, 1997, 102])
FETCH = "Fetch the file again and compare its size with the original's."


def check_weights(config: DictConfig) -> Iterator[Finding]:
    """Check all files that a model config needs."""
    folder = open_instructblip(config)
    sources = weight_sources(config)
    absent = [source for source in sources if source.problem() is not None]
    yield from (_absent(source) for source in absent)
    missing = {source.config_key for source in absent}
    chosen = chosen_language_model(config)
    if chosen and "model.llm_model" not in missing:
        yield from run_check(AREA, "language model", lambda: _check_chosen(Path(chosen)))
    if not config.get("pretrained"):
        yield Finding(AREA, "base", Verdict.OK, f"{config.model_type}: in the package")
    elif folder is not None:
        yield from run_check(AREA, "InstructBLIP folder", lambda: _check_folder(config, folder))
    else:
        if "model.vit_checkpoint" not in missing:
            yield from run_check(AREA, "EVA ViT", lambda: _check_eva(config))
        if "model.pretrained" not in missing:
            yield from run_check(AREA, "InstructBLIP", lambda: _check_instructblip(config))
        if chosen is None and "model.llm_model" not in missing:
            yield from run_check(AREA, "language model", lambda: _check_vicuna(config))
    if not missing & {"model.llm_model", "model.llm_tokenizer"}:
        yield from run_check(AREA, "LLM tokenizer", lambda: _check_llm_tokenizer(config, folder))
    if "model.bert_tokenizer" not in missing:
        yield from run_check(AREA, "Q-Former tokenizer", lambda: _check_q_former_tokenizer(config, folder))
    yield from run_check(AREA, "trained layers", lambda: _check_trained(config))


def _absent(source: WeightSource) -> Finding:
    words = source.remedy()
    found = f"{source.description}: {source.problem()}"
    return Finding(AREA, source.config_key, Verdict.FAILURE, found, f"{words[0].upper()}{words[1:]}.")


def _fits(name: str, path: str, check: Callable[[], LoadReport]) -> Finding:
    """Return the finding of a loader that only checks."""
    try:
        report = check()
    except SamError as error:
        return Finding(AREA, name, Verdict.FAILURE, str(error), FETCH)
    return Finding(AREA, name, Verdict.OK, f"{path}: {len(report.loaded)} tensors fit")


def _check_eva(config: DictConfig) -> Iterator[Finding]:
    encoder, path = build_model(config, device="meta").visual_encoder, locate(config.vit_checkpoint)
    yield _fits("EVA ViT", path, lambda: pretrained.load_eva_vit(encoder, path, check_only=True))


def _check_instructblip(config: DictConfig) -> Iterator[Finding]:
    model, path = build_model(config, device="meta"), locate(config.pretrained)
    whole = chosen_language_model(config) is None
    yield _fits(
        "InstructBLIP",
        path,
        lambda: pretrained.load_instructblip(model, path, with_projection=whole, check_only=True),
    )


def _check_folder(config: DictConfig, folder: InstructBlipFolder) -> Iterator[Finding]:
    def check() -> LoadReport:
        whole = chosen_language_model(config) is None
        return load_base(build_model(config, device="meta"), folder, with_language=whole, check_only=True)

    yield _fits("InstructBLIP folder", str(folder.path), check)


def _check_vicuna(config: DictConfig) -> Iterator[Finding]:
    folder = Path(locate_folder(config.llm_model))
    settings = read_config(folder / "config.json", f"{REMEDY}.")
    version = guess_version(settings)
    found = f"{folder}: Vicuna {version.name} ({version.evidence})"
    if version.is_wanted is None:
        yield Finding(AREA, "Vicuna version", Verdict.WARNING, found, f"{REMEDY}.")
    else:
        verdict = Verdict.OK if version.is_wanted else Verdict.FAILURE
        yield Finding(AREA, "Vicuna version", verdict, found, "" if version.is_wanted else f"{REMEDY}.")
    yield from _check_parts(folder)


def _check_chosen(folder: Path) -> Iterator[Finding]:
    config = read_language_config(folder)
    found = f"{folder}: {config.model_type}, {config.num_hidden_layers} layers of width {config.hidden_size}"
    yield Finding(AREA, "language model", Verdict.OK, found)
    yield from _check_parts(folder)


def _check_parts(folder: Path) -> Iterator[Finding]:
    """Check every weight file of a transformers folder: listed, there, and not cut off."""
    # A folder may hold both kinds; as when it is loaded, safetensors come first.
    for kind, index in ((".safetensors", INDEX_FILE), (".bin", OLD_INDEX_FILE)):
        found = {path.name for path in folder.glob(f"*{kind}")}
        is_listed = (folder / index).is_file()
        if not found and not is_listed:
            continue
        wanted = set(read_index(folder / index).values()) if is_listed else found
        problems = [f"{part} is missing" for part in sorted(wanted - found)]
        problems += [f"{part}: {why}" for part in sorted(wanted & found) if (why := _damage(folder / part))]
        remedy = FETCH if problems else ""
        verdict = Verdict.FAILURE if problems else Verdict.OK
        said = "; ".join(problems) or f"{len(wanted)} file(s), whole"
        yield Finding(AREA, "language model", verdict, f"{folder}: {said}", remedy)
        return
    yield Finding(AREA, "language model", Verdict.FAILURE, f"{folder}: no weight files", FETCH)


def _damage(path: Path) -> str:
    """Return what is wrong with a weight file, by its header and its end alone."""
    try:
        if path.suffix == ".safetensors":
            open_file(path)
        elif read_start(path).startswith(b"PK") and not zipfile.is_zipfile(path):
            return "truncated"
    except SamError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def _check_llm_tokenizer(config: DictConfig, folder: InstructBlipFolder | None) -> Iterator[Finding]:
    path, chosen = Path(llm_tokenizer_path(config, folder)), chosen_language_model(config)
    path = find_llm_tokenizer(path) or path if chosen is None else path
    try:
        tokenizer = load_tokenizer(path, json_first=chosen is not None)
    except SamError as error:
        yield Finding(AREA, "LLM tokenizer", Verdict.FAILURE, str(error), FETCH)
        return
    if chosen is not None:
        rows = read_sizes(config).language.vocabulary + tokenizer.adds_pad_row
        verdict = Verdict.OK if len(tokenizer) <= rows else Verdict.FAILURE
        found = f"{path}: {len(tokenizer)} tokens for {rows} rows of the embedding"
        yield Finding(AREA, "LLM tokenizer", verdict, found, "" if verdict is Verdict.OK else FETCH)
        return
    wanted = int(config.sizes.language.vocabulary)
    found = f"{path}: {len(tokenizer) - 1} pieces and [PAD], texts begin and end with id {tokenizer.eos_token_id}"
    if len(tokenizer) != wanted:
        yield Finding(AREA, "LLM tokenizer", Verdict.FAILURE, f"{found}; wanted {wanted} in all", f"{REMEDY}.")
        return
    if config.model_type == "tiny":
        yield Finding(AREA, "LLM tokenizer", Verdict.OK, found)
        return
    yield _recognised("LLM tokenizer", path, LLAMA_TOKENIZER, found, tokenizer.encode(LLAMA_GOLDEN[0]), LLAMA_GOLDEN)


def _check_q_former_tokenizer(config: DictConfig, folder: InstructBlipFolder | None) -> Iterator[Finding]:
    name = q_former_tokenizer_path(config, folder)
    wanted = int(config.sizes.q_former.vocabulary)
    try:
        tokenizer = load_q_former_tokenizer(name, vocabulary=wanted)
    except SamError as error:
        remedy = f"Point model.bert_tokenizer to bert-base-uncased's vocab.txt ({wanted} words with [DEC])."
        yield Finding(AREA, "Q-Former tokenizer", Verdict.FAILURE, str(error), remedy)
        return
    path = find_bert_vocabulary(name)
    found = f"{path}: {len(tokenizer)} words with [DEC]"
    if config.model_type == "tiny" or path is None:
        yield Finding(AREA, "Q-Former tokenizer", Verdict.OK, found)
        return
    ids = tokenizer(BERT_GOLDEN[0]).input_ids
    yield _recognised("Q-Former tokenizer", path, BERT_VOCABULARY, found, ids, BERT_GOLDEN)


def _recognised(
    name: str, path: Path, wanted: str, found: str, ids: list[int], golden: tuple[str, list[int]]
) -> Finding:
    """Check whether this is the file that InstructBLIP was trained with, and whether it is read as it was then."""
    digest, is_saved_again = sha256_of(path), path.name == JSON_FILE  # which each version of transformers writes anew
    if digest != wanted and not is_saved_again:
        remedy = (
            "Take the published file (bert-base-uncased's vocab.txt, Llama's tokenizer.model), unless you know why."
        )
        return Finding(AREA, name, Verdict.WARNING, f"{found}; not the published file (SHA-256 {digest[:12]}…)", remedy)
    if ids != golden[1]:
        remedy = "The tokenizer library reads the right file in another way; install the tested versions."
        return Finding(AREA, name, Verdict.FAILURE, f"{found}; {golden[0]!r} gives {ids}, not {golden[1]}", remedy)
    return Finding(AREA, name, Verdict.OK, f"{found}, {'read as ' if is_saved_again else ''}the published file")


def _check_trained(config: DictConfig) -> Iterator[Finding]:
    path = finetuned_path(config)
    if not path:
        found = "none named: the model starts at its base, without guidance"
        yield Finding(AREA, "trained layers", Verdict.NOTE, found)
    elif Path(path).exists():  # what does not exist has been said
        yield _fits(
            "trained layers", path, lambda: load_trained(build_model(config, device="meta"), path, check_only=True)
        )
        if Path(path).is_dir():
            yield from check_base(config, Path(path))
