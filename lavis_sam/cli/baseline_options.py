"""The options of `lavis-sam baseline`; apart from the command, whose signature they would hide."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"

Local = Annotated[
    str | None,
    typer.Argument(metavar="NAME_OR_FOLDER", help="A transformers model on this machine; nothing is downloaded."),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(metavar="auto", help="auto: the local model over all GPUs and the machine's memory, in one process."),
]
Endpoint = Annotated[str | None, typer.Option(metavar="URL", help="An OpenAI-compatible service instead.")]
Served = Annotated[str | None, typer.Option(help="The model's name at the service.")]
Dataset = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|[NAME=]PATH",
        help="A data set (vist), task (storytelling), table (2b), or data of your own; repeatable; else the paper's.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="ROOT", help="Where the data sets are (else LAVIS_SAM_DATA, data); or a unified one."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Folder of the results, one model each; continues there.")
]
Configs = Annotated[Path, typer.Option(metavar="FOLDER", help="Evaluation configurations, <data set>.yaml.")]
Protocol = Annotated[str, typer.Option(help="sam: the paper's way of scoring; coco: the field's standard.")]

BatchSize = Annotated[int, typer.Option(min=1, help="Questions at a time, of a local model.")]
NumBeams = Annotated[int, typer.Option(help="Beams of a local model's search.")]
RepetitionPenalty = Annotated[
    float, typer.Option(help="Penalty on tokens that a local model wrote already; 1 is none.")
]

KeyVariable = Annotated[
    str | None,
    typer.Option(
        "--api-key-env", metavar="NAME", help=f"Environment variable of the key, else {DEFAULT_KEY_VARIABLE}."
    ),
]
Rate = Annotated[
    float | None, typer.Option("--requests-per-minute", help="The most requests sent in a minute; by default no limit.")
]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests at a time.")]
Timeout = Annotated[float, typer.Option(help="Seconds that a request may be silent.")]
Attempts = Annotated[int, typer.Option(help="The most tries of one question.")]
SkipRefused = Annotated[
    bool,
    typer.Option(
        "--skip-refused",
        help="Count what the service refuses (filter, length) as an empty answer, and say so.",
    ),
]
MaxRequests = Annotated[
    int, typer.Option(help="The most requests; a run that needs more is refused before the first is sent.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-total-tokens", help="Likewise, tokens of input and output; by default no limit.")
]
MaxSpending = Annotated[
    float | None, typer.Option(help="Likewise, money, in the prices' currency; by default no limit.")
]
InputPrice = Annotated[float | None, typer.Option(help="Price of a million input tokens.")]
OutputPrice = Annotated[float | None, typer.Option(help="Price of a million output tokens.")]
MaxImages = Annotated[int, typer.Option(help="The most images in one question.")]
ImageSide = Annotated[int, typer.Option(help="Longer side of a sent image, in pixels, at most.")]
ImageBytes = Annotated[int, typer.Option(help="Bytes of a sent image (JPEG), at most.")]
ImageTokens = Annotated[
    int | None, typer.Option(help="Tokens that an image counts in the estimate; by default reckoned from --image-side.")
]
Request = Annotated[
    list[str] | None, typer.Option(metavar="KEY=JSON", help="A key of the request; null takes it out. Repeatable.")
]
Cache = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Paid answers, for several runs; else in RUN.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what the service would cost at most; send nothing.")]
