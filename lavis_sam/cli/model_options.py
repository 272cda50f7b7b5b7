"""Options that every command with a model has, and how the model is loaded."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.errors import SamConfigurationError
from lavis_sam.run_layout import checkpoint_of
from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.predictor import SamPredictor


def _asks(prompt: str) -> str:
    """Return a prompt that asks something."""
    if not prompt.strip():
        raise typer.BadParameter(f"found {prompt!r}, wanted a question about the images.")
    return prompt


Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME|PATH",
        help="tiny, vicuna7b, vicuna13b, custom; the folder of a run, an adapter or an InstructBLIP; a checkpoint.",
    ),
]
Base = Annotated[
    Path | None,
    typer.Option("--base", help="InstructBLIP (transformers' folder or LAVIS's file), if not where the config says."),
]
LanguageModel = Annotated[
    Path | None,
    typer.Option("--llm-model", metavar="FOLDER", help="A language model of your own choice, for tiny and custom."),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option("--checkpoint", help="Trained layers to load over the model: a file, a run's or an adapter's folder."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda or cuda:N; by default the first GPU, or else the CPU.")
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="fp32, bf16 or fp16 for the frozen parts; by default the model's own.")
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        "--device-map",
        metavar="auto",
        help="auto: the language model over all GPUs and the machine's memory; by default one device.",
    ),
]
MaxNewTokens = Annotated[
    int | None, typer.Option("--max-new-tokens", show_default="255", help="The most tokens of an answer.")
]
MinNewTokens = Annotated[
    int | None, typer.Option("--min-new-tokens", show_default="0", help="The fewest tokens of an answer.")
]
# Their names before, which count one token more: the released code's start token, which is never seen.
MaxLength = Annotated[int | None, typer.Option("--max-length", hidden=True)]
MinLength = Annotated[int | None, typer.Option("--min-length", hidden=True)]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The folder to make; for `released` a .pth file.")]
OutArgument = Annotated[Path | None, typer.Argument(metavar="OUT", hidden=True)]  # the option's place before
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else, on stdout.")]
Prompt = Annotated[str, typer.Option("--prompt", "-p", callback=_asks, help="The question.")]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="The images of one sample, in order.")]


def model_settings(llm_model: Path | None, device_map: str | None = None) -> dict[str, str]:
    """Return the keys of the `model` node that options set."""
    given = {"llm_model": None if llm_model is None else str(llm_model), "device_map": device_map}
    return {key: value for key, value in given.items() if value is not None}


def length_of(name: str, new_tokens: int | None, length: int | None, default: int) -> int:
    """Return the `max_length` or `min_length` of `generate`, which counts one token more than `--<name>-new-tokens`.

    Raises:
        SamConfigurationError: Both were given.
    """
    if new_tokens is not None and length is not None:
        raise SamConfigurationError(
            f"--{name}-new-tokens and --{name}-length: found {new_tokens} and {length}, wanted one of them."
        )
    return length if length is not None else default if new_tokens is None else new_tokens + 1


def one_place(option: Path | None, argument: Path | None) -> Path:
    """Return the place to write to, given as `--out` or as an argument.

    Raises:
        SamConfigurationError: Not one of them.
    """
    place = option or argument
    if place is None or (option and argument):
        raise SamConfigurationError(
            f"--out: {'missing' if place is None else f'found {option} and {argument}'}, wanted one place to write to."
        )
    return place


def load_predictor(
    model: str,
    base: Path | None,
    checkpoint: Path | None,
    device: str | None,
    precision: str | None,
    llm_model: Path | None = None,
    device_map: str | None = None,
) -> "SamPredictor":
    """Load the model that the options describe; what libraries say on the way goes to stderr."""
    for given in (model, checkpoint or ""):
        if (found := checkpoint_of(Path(given).expanduser())) != Path(given).expanduser():
            echo(f"note: of the run {given}, {found.name} is taken", err=True)
    from lavis_sam.predictor import SamPredictor

    with contextlib.redirect_stdout(sys.stderr):
        predictor = SamPredictor.from_pretrained(
            model,
            base=base,
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            settings=model_settings(llm_model, device_map),
        )
    if not predictor.is_trained:
        echo(
            "note: SAM's layers are untrained, so this model answers as its base alone does (InstructBLIP, or tiny's "
            "own); --checkpoint loads trained ones",
            err=True,
        )
    return predictor
