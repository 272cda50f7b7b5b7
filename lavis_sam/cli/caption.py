"""`lavis-sam caption`: a question about images, and its answer."""

import sys
from collections.abc import Iterator
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
    load_predictor,
)
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import to_json
from lavis_sam.terminal import echo


def caption(
    images: Images,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="The question.")] = "What do the images show?",
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    num_beams: Annotated[int, typer.Option(help="Beams of the search; 1 is greedy.")] = 5,
    max_length: Annotated[int, typer.Option(help="One more than the most new tokens.")] = 256,
    min_length: Annotated[int, typer.Option(help="Fewest tokens, counted likewise.")] = 1,
    sample: Annotated[bool, typer.Option(help="Sample instead of taking the best token.")] = False,
    top_p: Annotated[float, typer.Option(help="Probability mass to sample from.")] = 0.9,
    temperature: Annotated[float, typer.Option(help="Of the sampling.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Penalty on tokens that the answer already holds.")] = 1.5,
    length_penalty: Annotated[float, typer.Option(help="Exponent of the length in a beam's score.")] = 1.0,
    num_captions: Annotated[int, typer.Option(help="Answers to give.")] = 1,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print words as they are written; needs --num-beams 1.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Answer a question about one or several images.

    The decoding settings are the published ones. Exit code 0: here is the answer; 2: images, model or settings cannot
    be used.

    \b
    Examples:
      lavis-sam caption one.jpg two.jpg --prompt "What do both images show?"
      lavis-sam caption *.jpg -p "Tell a story." --model vicuna7b --checkpoint my_adapter --num-beams 1 --stream
      lavis-sam caption one.jpg two.jpg -p "What has changed?" --json > answer.json
    """
    if stream and as_json:
        raise SamConfigurationError(
            "--stream prints words as they come, --json the whole at the end; give one of them."
        )
    predictor = load_predictor(model, base, checkpoint, device, precision, llm_model)
    decoding = {
        "use_nucleus_sampling": sample,
        "num_beams": num_beams,
        "max_length": max_length,
        "min_length": min_length,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "length_penalty": length_penalty,
        "num_captions": num_captions,
        "temperature": temperature,
    }
    paths = [str(path) for path in images]
    if stream:
        _print_as_written(predictor.stream(paths, prompt, **decoding))
        return
    answer = predictor.caption(paths, prompt, **decoding)
    answers = [answer] if isinstance(answer, str) else answer
    asked = {"model": model, "images": paths, "prompt": prompt, "decoding": decoding}
    result = {**asked, "answers": answers, "is_trained": predictor.is_trained}
    echo(to_json(result) if as_json else "\n".join(answers))


def _print_as_written(pieces: Iterator[str]) -> None:
    for piece in pieces:
        echo(piece, nl=False)
        sys.stdout.flush()  # a pipe would hold the words back
    echo()
