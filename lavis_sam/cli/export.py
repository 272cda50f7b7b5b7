"""`lavis-sam export`: a model, or what was trained of it, in a form for others."""

from enum import StrEnum
from typing import Annotated

import typer

from lavis_sam.cli.model_options import (
    Base,
    Checkpoint,
    Json,
    LanguageModel,
    Model,
    Out,
    OutArgument,
    Precision,
    load_predictor,
    one_place,
)
from lavis_sam.terminal import echo


class Format(StrEnum):
    """What to write."""

    ADAPTER = "adapter"
    RELEASED = "released"
    INSTRUCTBLIP = "instructblip"


def export(
    out_argument: OutArgument = None,
    out: Out = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="What to write; see above.")] = Format.ADAPTER,
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    precision: Precision = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in that place.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model in a form for others.

    \b
    adapter       the trained layers as a folder (safetensors, config.json, a model card; 17 MB for vicuna7b), which
                  SamPredictor.from_pretrained and model.finetuned load
    released      the trained layers under the authors' names, a file that their code loads over InstructBLIP
    instructblip  the base and its projection as transformers' InstructBLIP folder, without SAM's layers

    Exit code 0: written; 2: it cannot be written.

    \b
    Examples:
      lavis-sam export --out my_adapter --checkpoint output/sam/tiny/mine
      lavis-sam export --out sam.pth --format released --model vicuna7b --checkpoint my_adapter
      lavis-sam export --out instructblip --format instructblip --model vicuna7b --precision fp16
    """
    from lavis_sam.files import to_json
    from lavis_sam.predictor.exporting import check_place, export_model

    out = one_place(out, out_argument)
    check_place(out, form.value, overwrite=overwrite)  # before a model is loaded for nothing
    predictor = load_predictor(model, base, checkpoint, "cpu", precision, llm_model)
    written = export_model(predictor.model, out, form.value, source=model, checkpoint=checkpoint, overwrite=overwrite)
    if as_json:
        echo(to_json(written))
    else:
        echo(f"{written['format']}: {written['path']}, {written['bytes'] / 1e6:,.1f} MB")
