"""`lavis-sam explain`: which image guides which, and where."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.cli.model_options import (
    Base,
    Checkpoint,
    Device,
    Images,
    Json,
    LanguageModel,
    Model,
    Precision,
    Prompt,
    load_predictor,
)
from lavis_sam.terminal import echo


def explain(
    images: Images,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for overview.png, explanation.json, measures.npz.")],
    prompt: Prompt = "What do the images show?",
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    as_json: Json = False,
) -> None:
    """Measure and draw the guidance between the images of a sample.

    Three measures: the adaptive weights of each image and patch; what the W-former looks at in the merged context;
    and how much each image guides each other one (what changes without it, and the gradient by patch). Exit code 0:
    drawn; 2: images, model or settings cannot be used.

    \b
    Examples:
      lavis-sam explain one.jpg two.jpg three.jpg --prompt "What do all images show?" --out explained
      lavis-sam explain *.jpg --model vicuna7b --checkpoint my_adapter --out explained --json
    """
    from lavis_sam.files import to_json

    predictor = load_predictor(model, base, checkpoint, device, precision, llm_model)
    explained = predictor.explain([str(path) for path in images], prompt)
    paths = explained.save(out)
    if as_json:
        files = {name: str(path) for name, path in paths.items()}
        echo(to_json({**explained.measures.as_dict(), "images": [str(path) for path in images], "files": files}))
        return
    norms, change = explained.measures.semantics_norm, explained.measures.masked_change
    for i, guided in enumerate(images):
        shares = [
            f"{guide.name} {change[i, m] / norms[i] if norms[i] else 0:.1%}" for m, guide in enumerate(images) if m != i
        ]
        echo(f"{guided.name}: its semantics change without {', '.join(shares) or 'nothing: it is alone'}")
    echo(f"drawn: {paths['overview']}")
