"""`lavis-sam vlmeval`: VLMEvalKit's command with our model in it."""

from functools import partial
from typing import Annotated, Any

import typer

from lavis_sam.cli.model_options import (
    Base,
    Checkpoint,
    Device,
    LanguageModel,
    MaxNewTokens,
    Model,
    Precision,
    load_predictor,
)
from lavis_sam.terminal import echo

_SOME_FAILED = 1


def vlmeval(
    arguments: Annotated[
        list[str], typer.Argument(metavar="-- OPTION...", help="VLMEvalKit's own options, such as --data NAME.")
    ],
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    choose: Annotated[
        str, typer.Option(help="Multiple choice. text: by what the model writes; likelihood: by that of each choice.")
    ] = "text",
    num_beams: Annotated[int | None, typer.Option(help="Beams; 1 is greedy.", show_default="5")] = None,
    max_new_tokens: MaxNewTokens = None,
    name: Annotated[str, typer.Option(help="What VLMEvalKit calls the model, in its folders too.")] = "lavis_sam",
) -> None:
    """Run VLMEvalKit (ms-vlmeval) with this model: its data sets, or those of `lavis-sam data export vlmevalkit`.

    What stands behind the -- is VLMEvalKit's. Images stay separate and in order. The environment variable LMUData names
    the folder of data sets. Exit code 0: all is answered; 1: a data set failed, the others are answered; 2: model,
    options or settings cannot be used. docs/evaluators.md says how to install it.

    \b
    Examples:
      lavis-sam vlmeval --model tiny -- --data my_pairs --work-dir output/vlmeval
      lavis-sam vlmeval --model vicuna7b --choose likelihood -- --data BLINK --judge exact_matching
    """
    from lavis_sam.evaluators.vlmeval_launch import launch

    decoding: dict[str, Any] = {} if num_beams is None else {"num_beams": num_beams}
    if max_new_tokens is not None:
        decoding["max_length"] = max_new_tokens + 1  # counts the start token
    load = partial(load_predictor, model, base, checkpoint, device, precision, llm_model)
    failed = launch(load, arguments, name=name, choose=choose, decoding=decoding)
    if failed:
        echo("\n".join([*failed, "not all data sets are answered"]), err=True)
        raise typer.Exit(_SOME_FAILED)
