"""Writing a loaded model in one of the forms that others read."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.predictor.load_model import model_config
from lavis_sam.weights.adapters import is_adapter, save_adapter
from lavis_sam.weights.checkpoint_files import shorten
from lavis_sam.weights.checkpoints import save_checkpoint, to_released, trainable_state_dict
from lavis_sam.weights.instructblip_export import check_base, is_export, save_instructblip
from lavis_sam.weights.lora import lora_parameters, merge_lora

FORMATS = ("adapter", "released", "instructblip")


def export_model(
    model: SemanticAlignment,
    out: str | Path,
    form: str,
    *,
    source: str | Path,
    checkpoint: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a model.

    Args:
        model: The model, with its weights; for "instructblip" its LoRA, if it has any, is merged into it.
        out: The folder to make; for "released" a .pth file.
        form: "adapter", "released" or "instructblip"; see `lavis-sam export`.
        source: What the model was loaded from.
        checkpoint: Trained layers that were loaded over it.
        overwrite: Replace an earlier export, or another .pth file, there.

    Returns:
        `format`, `path` and `bytes` of what was written.

    Raises:
        SamConfigurationError: See `check_place`; or the format has no place for the model's injected modules, or no
            form for its base. Model and files are as they were.
        SamCheckpointError: The authors' code has no such layers.
    """
    out = Path(out)
    check_place(out, form, overwrite=overwrite)
    merged = lora_parameters(model) if form == "instructblip" else ()
    homeless = [name for name in model.injected if name not in merged]
    if homeless and form != "adapter":
        raise SamConfigurationError(
            f"the model has injected modules ({shorten(homeless)}); only the format adapter has a place for them."
        )
    if form == "released":
        save_checkpoint(out, {"model": to_released(trainable_state_dict(model))})
    elif form == "adapter":
        config = model_config(source, checkpoint=checkpoint)
        inject = OmegaConf.to_container(config.inject, resolve=True)
        if config.lora:
            inject["lora"] = OmegaConf.to_container(config.lora, resolve=True)
        save_adapter(out, model, model_type=config.model_type, trainable=config.trainable, inject=inject)
    else:
        check_base(model)
        merge_lora(model)
        save_instructblip(out, model)
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    return {"format": form, "path": str(out), "bytes": sum(path.stat().st_size for path in files)}


def check_place(out: Path, form: str, *, overwrite: bool = False) -> None:
    """Never write over something silently, and never among files that are something else.

    Raises:
        SamConfigurationError: An unknown format; or the path is a file where a folder is wanted or the reverse, a
            folder with other files, or an earlier export that is not to be replaced.
    """
    if form not in FORMATS:
        raise SamConfigurationError(f"format is {form!r}; choose one of {', '.join(FORMATS)}.")
    is_ours = {"adapter": is_adapter, "released": Path.is_file, "instructblip": is_export}[form](out)
    if is_ours and not overwrite:
        raise SamConfigurationError(
            f"{out}: there is an earlier export or another file of that name. Give another path, or --overwrite "
            "(overwrite=True)."
        )
    if form == "released":
        problem = "is a folder; the format released writes a .pth file" if out.is_dir() else ""
    elif out.is_dir():
        problem = "" if is_ours or not any(out.iterdir()) else "is a folder with other files in it"
    else:
        problem = f"is a file; the format {form} writes a folder" if out.exists() else ""
    if problem:
        raise SamConfigurationError(f"{out} {problem}. Give another path.")
