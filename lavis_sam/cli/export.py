"""`lavis-sam export`: a model, or what was trained of it, in a form for others."""

from enum import StrEnum
from pathlib import Path
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
from lavis_sam.errors import SamConfigurationError
from lavis_sam.terminal import echo


class Format(StrEnum):
    """What to write."""

    ADAPTER = "adapter"
    RELEASED = "released"
    INSTRUCTBLIP = "instructblip"


Form = Annotated[Format, typer.Option("--format", "-f", help="What to write; see above.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in that place.")]
HubFolder = Annotated[
    Path | None,
    typer.Option(
        "--hub-folder",
        metavar="DIR",
        help="Write an adapter with a card for the Hugging Face hub into this new folder, in the place of --out.",
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="RUN",
        help="The run whose scores that card names; by default the run of --checkpoint or --model, if it has any.",
    ),
]
License = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="ID",
        help="The hub's name of that card's licence; by default `other`, the base's (of tiny, bsd-3-clause).",
    ),
]


def export(
    out_argument: OutArgument = None,
    out: Out = None,
    form: Form = Format.ADAPTER,
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    precision: Precision = None,
    overwrite: Overwrite = False,
    hub_folder: HubFolder = None,
    results: Results = None,
    license_id: License = None,
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
      lavis-sam export --hub-folder my_adapter --checkpoint output/sam/tiny/mine --license bsd-3-clause
    """
    from lavis_sam.files import to_json
    from lavis_sam.predictor.exporting import check_place, export_model
    from lavis_sam.predictor.hub_folder import check_absent, export_hub_folder

    # Places are looked at before a model is loaded for nothing.
    if hub_folder is not None:
        if out or out_argument or overwrite or form is not Format.ADAPTER:
            raise SamConfigurationError("--hub-folder: found beside --out, --format or --overwrite, wanted alone.")
        check_absent(hub_folder)
    elif results or license_id:
        raise SamConfigurationError("--results and --license: found without --hub-folder, whose card they are for.")
    else:
        out = one_place(out, out_argument)
        check_place(out, form.value, overwrite=overwrite)
    loaded = load_predictor(model, base, checkpoint, "cpu", precision, llm_model).model
    if hub_folder is not None:
        written = export_hub_folder(
            loaded, hub_folder, source=model, checkpoint=checkpoint, results=results, license_id=license_id
        )
        if not written["scores"]:
            echo("note: the card names no scores; --results RUN gives those of an evaluation", err=True)
    elif out is not None:
        written = export_model(loaded, out, form.value, source=model, checkpoint=checkpoint, overwrite=overwrite)
    if as_json:
        echo(to_json(written))
    else:
        echo(f"{written['format']}: {written['path']}, {written['bytes'] / 1e6:,.1f} MB")
