"""Checkpoints: loading that checks every key and shape, the authors' key names, and saving what was trained.

Plain torch; the only thing known about the model is how its parameters are named. Files are read by
`lavis_sam.weights.checkpoint_files`; which file gives what is said in `pretrained`, `instructblip` and `trained`.
"""

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lavis_sam import __version__
from lavis_sam.distributed import share_of, whole_tensor
from lavis_sam.errors import SamCheckpointError
from lavis_sam.files import atomic_path
from lavis_sam.weights.checkpoint_files import load_file, require_tensors, shorten
from lavis_sam.weights.device_map import held_parameters
from lavis_sam.weights.streaming import StreamedTensors
from lavis_sam.weights.values import require_usable, unusable_values

# The authors' names of the three SAM layers, and ours.
RELEASED_NAMES = {
    "attn.": "adaptive_adjustment.linear_a.",
    "Qformer.bert.encoder.one_2_muliple.0.": "w_former.linear_h.",
    "Qformer.bert.encoder.multiple_2_one.0.": "w_former.linear_c.",
}
# A layer of ours that the authors' code does not have (Table 3 row 4 was never released).
UNRELEASED = ("linear_extractor.",)
# Where the [PAD] row, which InstructBLIP appends to Vicuna's vocabulary, is the last one.
PAD_TABLES = ("llm_model.model.embed_tokens.weight", "llm_model.lm_head.weight")
# Buffers that older libraries saved and newer ones compute: nothing is lost by not loading them.
COMPUTED_BUFFERS = ("*position_ids", "*rotary_emb.inv_freq")
_VOCABULARY_TABLE = "Qformer.bert.embeddings.word_embeddings.weight"
_VERSIONED = ("torch", "transformers", "salesforce-lavis")


@dataclass(frozen=True)
class LoadReport:
    """What one source gave to a model.

    Attributes:
        source: The source's name in messages.
        loaded: Names in the model that were filled.
        ignored: Names in the source that were passed over because they are known to be of no use.
    """

    source: str
    loaded: frozenset[str]
    ignored: tuple[str, ...]

    def under(self, prefix: str) -> "LoadReport":
        """Return the same report with the names that the filled module, as `prefix`, has in the module around it."""
        return replace(self, loaded=frozenset(f"{prefix}.{name}" for name in self.loaded))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether `name` is of `patterns`, below one (`llm_proj` covers `llm_proj.bias`) or fits its wildcards."""
    return any(name == p or name.startswith(p.rstrip(".") + ".") or fnmatchcase(name, p) for p in patterns)


def load_checked(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    provides: Iterable[str],
    optional: Iterable[str] = (),
    ignore: Iterable[str] = (),
    source: str,
    check_only: bool = False,
) -> LoadReport:
    """Copy weights into a model, or change nothing and say everything that does not fit.

    Tensor by tensor, in the model's own types and devices, so a memory-mapped or streamed source never exists twice.
    Parameters on the meta device are given the source's tensor itself. Numbers are looked at before anything is filled;
    those of a streamed source, which are read once, each before it is.

    Args:
        state: The weights, by the model's names.
        provides: Patterns (see `matches`) of the names that this source must fill, as far as the model has them.
        optional: Patterns of further names that it may fill.
        ignore: Patterns of names that it may hold although the model has no use for them; computed buffers always may.
        source: How messages call the source: the file, and what it is.
        check_only: Say what does not fit, and fill nothing even if all does.

    Returns:
        What was filled.

    Raises:
        SamCheckpointError: A key is missing or unexpected, a shape or a kind of number differs, or numbers are NaN,
            infinite or too large for the model's type; all are listed.
    """
    provides, optional, ignore = tuple(provides), tuple(optional), (*ignore, *COMPUTED_BUFFERS)
    own = model.state_dict(keep_vars=True)
    is_streamed = isinstance(state, StreamedTensors)
    if not is_streamed:
        require_tensors(state, source)
    held = state.described() if isinstance(state, StreamedTensors) else state
    missing = [name for name in own if matches(name, provides) and name not in held and not matches(name, ignore)]
    wanted = {name: tensor for name, tensor in held.items() if name in own and matches(name, (*provides, *optional))}
    others = [name for name in held if name not in wanted]
    unexpected = [name for name in others if not matches(name, ignore)]
    problems = _describe("missing", missing) + _describe("unexpected", unexpected)
    problems += _misfits(wanted, own)
    if not problems and not is_streamed:
        found = (unusable_values(name, tensor, own[name].dtype) for name, tensor in wanted.items())
        problems += _describe("that cannot be used", [problem for problem in found if problem])
    if problems:
        raise SamCheckpointError(
            "\n".join([f"{source} does not fit this model; nothing was loaded:", *(f"  - {p}" for p in problems)])
            + "\nGive the file that belongs to this architecture, or the config that belongs to this file."
        )
    with torch.no_grad():
        for name in () if check_only else wanted:
            tensor = state[name]
            if is_streamed:
                require_usable(name, tensor, own[name].dtype, source)
            _fill(model, name, own[name], tensor)
    return LoadReport(source, frozenset(wanted), tuple(name for name in others if matches(name, ignore)))


def _misfits(wanted: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Return what of a source has another shape or kind of number than the model."""
    shapes = [_shapes(name, tensor, own[name]) for name, tensor in wanted.items() if tensor.shape != own[name].shape]
    kinds = [
        f"{name} is {tensor.dtype} in the file and {own[name].dtype} in the model"
        for name, tensor in wanted.items()
        if tensor.dtype.is_floating_point != own[name].dtype.is_floating_point
    ]
    found = _describe("of another shape", shapes) + _describe("of another kind", kinds)
    return found + _vocabulary_problem(wanted, own)


def _describe(kind: str, names: list[str]) -> list[str]:
    return [f"{len(names)} {kind}: {shorten(names)}"] if names else []


def _shapes(name: str, found: Tensor, wanted: Tensor) -> str:
    return f"{name} is {list(found.shape)} in the file and {list(wanted.shape)} in the model"


def _vocabulary_problem(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Return the one mismatch that everybody meets: BERT's 30522 words with and without the added [DEC]."""
    name = _VOCABULARY_TABLE
    if name not in state or state[name].ndim != 2 or len(state[name]) == len(own[name]):
        return []
    found, wanted = len(state[name]), len(own[name])
    if found == wanted + 1:
        reason = "the tokenizer here lacks [DEC]; load it with load_q_former_tokenizer"
    elif found == wanted - 1:
        reason = "the file was saved without [DEC], so it is no InstructBLIP checkpoint"
    else:
        reason = "the file and the tokenizer belong to different models"
    return [
        f"the Q-Former's vocabulary has {found} words in the file and {wanted} in the model (InstructBLIP: 30523, "
        f"which is bert-base-uncased's 30522 and [DEC]): {reason}"
    ]


def _fill(model: nn.Module, name: str, own: Tensor, tensor: Tensor) -> None:
    if own.device.type != "meta":
        own.copy_(share_of(tensor, own))
        return
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    tensor = tensor.to(own.dtype)
    if isinstance(own, nn.Parameter):
        module.register_parameter(leaf, nn.Parameter(tensor, requires_grad=own.requires_grad))
    else:
        module.register_buffer(leaf, tensor)


def require_complete(model: nn.Module, reports: Iterable[LoadReport], *, initialised: Iterable[str] = ()) -> None:
    """Check that the sources together filled the whole model.

    Args:
        reports: What each source filled.
        initialised: Patterns of names that rightly keep their initial values (SAM's layers before training).

    Raises:
        SamCheckpointError: Some parameters came from nowhere; their names and the sources are listed.
    """
    reports = list(reports)
    loaded = frozenset().union(*(report.loaded for report in reports))
    allowed = (*initialised, *COMPUTED_BUFFERS)
    missing = [name for name in model.state_dict() if name not in loaded and not matches(name, allowed)]
    if missing:
        sources = "; ".join(report.source for report in reports) or "no source at all"
        raise SamCheckpointError(
            f"{len(missing)} parameters of the model came from none of its sources ({sources}): {shorten(missing)}. "
            "Give the complete files, or a config whose model needs no more than they hold."
        )


def translate_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' three SAM layers our names; everything else, our own names included, stays.

    Args:
        state: Weights by the authors' names (`attn.…`, `Qformer.bert.encoder.one_2_muliple.0.…`,
            `Qformer.bert.encoder.multiple_2_one.0.…`) or by ours; whichever layers are present.

    Raises:
        SamCheckpointError: A layer is there under both names.
    """
    return _rename(state, RELEASED_NAMES)


def to_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the inverse of `translate_released`: the names that the authors' code loads.

    Raises:
        SamCheckpointError: A layer is there under both names, or is one that the authors' code does not have.
    """
    unknown = [name for name in state if name.startswith(UNRELEASED)]
    if unknown:
        raise SamCheckpointError(
            f"{shorten(unknown)}: the authors' code has no such layer, so it cannot load these weights. Only models "
            "with guidance.extractor w_former or none can be given the authors' names."
        )
    return _rename(state, {ours: theirs for theirs, ours in RELEASED_NAMES.items()})


def _rename(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        old = next((prefix for prefix in names if name.startswith(prefix)), "")
        new = names[old] + name.removeprefix(old) if old else name
        if new in renamed:
            raise SamCheckpointError(
                f"the weights hold {new} twice, under the authors' name and under ours; keep the one that was trained"
            )
        renamed[new] = tensor
    return renamed


def trainable_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Copy the parameters that are trained to the CPU (17 MB at real sizes)."""
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}


def pad_rows(model: nn.Module) -> dict[str, Tensor]:
    """Copy the [PAD] rows [D_llm] of the LLM's embedding and head to the CPU; none where it has no such row.

    No released file holds them: they are added to the vocabulary last, and their logit is part of every softmax.
    """
    if not getattr(getattr(model, "llm_tokenizer", None), "adds_pad_row", True):
        return {}
    own = dict(held_parameters(model))
    return {name: whole_tensor(own[name].detach())[-1].cpu().clone() for name in PAD_TABLES if name in own}


def trained_checkpoint(
    model: nn.Module | Mapping[str, Any], config: Mapping[str, Any], **further: Any
) -> dict[str, Any]:
    """Return what a checkpoint of ours holds: trained parameters, [PAD] rows, config, versions, what a caller adds.

    Args:
        model: The model; or what a sharded one gave (see `lavis_sam.training.sharding`).
        config: The resolved config as plain containers.
        further: More entries (optimizer, epoch, random states, …), likewise plain.
    """
    tensors: Mapping[str, Any]
    if isinstance(model, nn.Module):
        tensors = {"model": trainable_state_dict(model), "pad_rows": pad_rows(model)}
    else:
        tensors = model
    return {
        **tensors,
        "config": dict(config),
        "versions": library_versions(),
        **further,
    }


def library_versions() -> dict[str, str]:
    """Return the versions of what results depend on."""
    versions = {"lavis_sam": __version__, "python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def save_checkpoint(path: str | Path, obj: Any) -> None:
    """Save a checkpoint atomically, and only if it can be loaded again without running code.

    Args:
        obj: Tensors, numbers, text and plain containers of these.

    Raises:
        SamCheckpointError: Something in `obj` would need code to load (a config node, a numpy array, a path, …); `path`
            stays as it was.
    """
    with atomic_path(path) as temporary:
        torch.save(obj, temporary)
        try:
            load_file(temporary)  # which compares checksums: what reached the disk is what was meant
        except SamCheckpointError as error:
            raise SamCheckpointError(
                f"{path}: this checkpoint could not be loaded again ({str(error).removeprefix(f'{temporary}: ')}) "
                "Make every entry a tensor, number, text, list, tuple or dictionary before saving."
            ) from error


def fill_pad_rows(model: nn.Module, rows: Mapping[str, Tensor], source: str, *, check_only: bool = False) -> None:
    """Give the LLM's embedding and head the [PAD] rows that `pad_rows` took from another model.

    Raises:
        SamCheckpointError: The language model has another width, or a row is no tensor or not finite.
    """
    own = model.state_dict(keep_vars=True)
    require_tensors(rows, f"{source}: pad_rows")
    for name in (name for name in PAD_TABLES if name in rows and name in own):
        if rows[name].shape != own[name].shape[1:]:
            raise SamCheckpointError(
                f"{source}: the [PAD] row of {name} is {list(rows[name].shape)} in the file and "
                f"{list(own[name].shape[1:])} in the model. Give the language model that this file was trained with."
            )
        require_usable(f"the [PAD] row of {name}", rows[name], own[name].dtype, source)
        if not check_only:
            with torch.no_grad():
                own[name][-1].copy_(rows[name])
