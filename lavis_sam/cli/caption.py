"""`lavis-sam caption`: a question about images, and its answer."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lavis_sam.cli.model_options import (
    Base,
    Checkpoint,
    Device,
    DeviceMap,
    Json,
    LanguageModel,
    MaxLength,
    MaxNewTokens,
    MinLength,
    MinNewTokens,
    Model,
    Precision,
    Prompt,
    length_of,
    load_predictor,
)
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import to_json
from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.cli.caption_inputs import CaptionSample
    from lavis_sam.predictor import SamPredictor

_SOME_FAILED = 1
_Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="Images, folders of them, or quoted patterns, of one sample, in order."),
]
_Stream = Annotated[bool, typer.Option("--stream", help="Print words as they are written; needs --num-beams 1.")]
_Each = Annotated[
    bool,
    typer.Option("--each", help="Each folder, image, and line of a list (.txt, or - for stdin) is a sample."),
]
_Jsonl = Annotated[
    bool, typer.Option("--jsonl", help="With --each: a JSON object a line; the default where no terminal reads it.")
]


def caption(
    images: _Images,
    prompt: Prompt = "What do the images show?",
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    device_map: DeviceMap = None,
    num_beams: Annotated[int, typer.Option(help="Beams of the search; 1 is greedy.")] = 5,
    max_new_tokens: MaxNewTokens = None,
    min_new_tokens: MinNewTokens = None,
    max_length: MaxLength = None,
    min_length: MinLength = None,
    sample: Annotated[bool, typer.Option(help="Sample instead of taking the best token.")] = False,
    top_p: Annotated[float, typer.Option(help="Probability mass to sample from.")] = 0.9,
    temperature: Annotated[float, typer.Option(help="Of the sampling.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Penalty on tokens that the answer already holds.")] = 1.5,
    length_penalty: Annotated[float, typer.Option(help="Exponent of the length in a beam's score.")] = 1.0,
    num_captions: Annotated[int, typer.Option(help="Answers to give.")] = 1,
    stream: _Stream = False,
    each: _Each = False,
    jsonl: _Jsonl = False,
    as_json: Json = False,
) -> None:
    """Answer a question about one or several images, or, with --each, about many samples.

    The decoding is the published one. Images are checked before the model is loaded. Exit code 0: here is the answer;
    1: some samples of --each cannot be answered, the others are; 2: images, model or settings cannot be used.

    \b
    Examples:
      lavis-sam caption *.jpg -p "Tell a story." --model vicuna7b --checkpoint my_adapter --num-beams 1 --stream
      lavis-sam caption one.jpg two.jpg -p "What has changed?" --json > answer.json
      lavis-sam caption data/own/*/ --each -p "What do these images have in common?" > answers.jsonl
    """
    from lavis_sam.cli.caption_inputs import each_sample, one_sample
    from lavis_sam.models.decoding import Decoding

    _check_outputs(stream=stream, as_json=as_json, each=each, jsonl=jsonl)
    samples = each_sample(images) if each else [one_sample(images)]
    decoding = {
        "use_nucleus_sampling": sample,
        "num_beams": num_beams,
        "max_length": length_of("max", max_new_tokens, max_length, 256),
        "min_length": length_of("min", min_new_tokens, min_length, 1),
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "length_penalty": length_penalty,
        "num_captions": num_captions,
        "temperature": temperature,
    }
    Decoding.from_mapping(decoding, "caption")
    asked = {"model": model, "prompt": prompt, "decoding": decoding}
    load = partial(load_predictor, model, base, checkpoint, device, precision, llm_model, device_map)
    if each:
        _answer_each(load, samples, asked, as_lines=jsonl or not sys.stdout.isatty())
    else:
        _answer_one(load(), samples[0], asked, stream=stream, as_json=as_json)


def _answer_one(
    predictor: "SamPredictor", sample: "CaptionSample", asked: Mapping[str, Any], *, stream: bool, as_json: bool
) -> None:
    if stream:
        _print_as_written(predictor.stream(list(sample.images), asked["prompt"], **asked["decoding"]))
        return
    result = {**asked, **_answer(predictor, sample, asked)}
    echo(to_json(result) if as_json else "\n".join(result["answers"]))


def _check_outputs(*, stream: bool, as_json: bool, each: bool, jsonl: bool) -> None:
    if stream and as_json:
        raise SamConfigurationError(
            "--stream prints words as they come, --json the whole at the end; give one of them."
        )
    if each and (stream or as_json):
        raise SamConfigurationError("--each gives answers one by one; take --jsonl in the place of --stream or --json.")
    if jsonl and not each:
        raise SamConfigurationError("--jsonl: is for the samples of --each; one sample alone has --json.")


def _answer(predictor: "SamPredictor", sample: "CaptionSample", asked: Mapping[str, Any]) -> dict[str, Any]:
    answer = predictor.caption(list(sample.images), asked["prompt"], **asked["decoding"])
    answers = [answer] if isinstance(answer, str) else answer
    return {"images": list(sample.images), "answers": answers, "is_trained": predictor.is_trained}


def _answer_each(
    load: Callable[[], "SamPredictor"], samples: "Sequence[CaptionSample]", asked: Mapping[str, Any], *, as_lines: bool
) -> None:
    """Print the answer of each sample as it comes; the model is loaded when the first whole one is there.

    Raises:
        typer.Exit: Code 1, where some could not be answered.
    """
    predictor, failed = None, 0
    for sample in samples:
        found: dict[str, Any] = {"images": list(sample.images), "error": sample.error}
        if sample.error is None:
            predictor = predictor or load()
            try:
                found = _answer(predictor, sample, asked)
            except SamDataError as error:
                found["error"] = str(error)
        failed += "error" in found
        if as_lines:
            echo(to_json({"sample": sample.name, "prompt": asked["prompt"], **found}, indent=None))
        elif "error" in found:
            echo(f"{sample.name}: error: {found['error']}", err=True)
        else:
            echo(f"{sample.name}: " + "\n  ".join(found["answers"]))
        sys.stdout.flush()  # a pipe would hold the line back
    if failed:
        echo(f"{failed} of {len(samples)} samples could not be answered", err=True)
        raise typer.Exit(_SOME_FAILED)


def _print_as_written(pieces: Iterator[str]) -> None:
    for piece in pieces:
        echo(piece, nl=False)
        sys.stdout.flush()  # a pipe would hold the words back
    echo()
