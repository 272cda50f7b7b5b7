"""`lavis-sam serve`: a model behind the OpenAI chat-completions protocol."""

import ipaddress
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.cli.model_options import (
    Base,
    Checkpoint,
    Device,
    DeviceMap,
    LanguageModel,
    Model,
    Precision,
    load_predictor,
)
from lavis_sam.errors import SamConfigurationError
from lavis_sam.terminal import echo, log_to_stderr

KEY_VARIABLE = "LAVIS_SAM_API_KEY"
_Name = Annotated[str | None, typer.Option(help="The model's name in requests; by default the last part of --model.")]
_Hosts = Annotated[
    list[str] | None,
    typer.Option("--image-host", metavar="HOST[:PORT]", help="Fetch images by http(s) from here. Repeatable."),
]
_KeyFile = Annotated[
    Path | None, typer.Option(help=f"Holds the API key that clients need; else {KEY_VARIABLE}, or none.")
]


_Host = Annotated[str, typer.Option(help="Address to listen at; by default this machine alone can ask.")]


def serve(
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    device_map: DeviceMap = None,
    host: _Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    name: _Name = None,
    api_key_file: _KeyFile = None,
    image_host: _Hosts = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Requests that go through the model together.")] = 8,
    gather_ms: Annotated[float, typer.Option(min=0, max=1000, help="Wait for others to share a batch.")] = 5.0,
    max_requests: Annotated[int, typer.Option(help="Requests at a time, waiting ones too; more get 429.")] = 256,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a request.")] = 20 * 1024**2,
    max_images: Annotated[int, typer.Option(help="Images of a request.")] = 16,
    max_pixels: Annotated[int, typer.Option(help="Pixels of an image.")] = 2**25,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of an answer.")] = 512,
    timeout: Annotated[float, typer.Option(help="Seconds of a request.")] = 120.0,
) -> None:
    """Serve a model by the OpenAI chat-completions protocol, to any client that speaks it.

    SIGTERM and Ctrl-C finish what runs. docs/serving.md says what a request may hold. Exit code 0: ended when asked
    to; 2: model, address or settings cannot be used.

    \b
    Examples:
      lavis-sam serve --model tiny
      lavis-sam serve --model vicuna7b --checkpoint my_adapter --api-key-file key.txt --host 0.0.0.0
    """
    _need_packages()
    from lavis_sam.serving.limits import Limits
    from lavis_sam.serving.server import address_of, bind, run_server

    limits = Limits(
        requests=max_requests, bytes=max_bytes, images=max_images, pixels=max_pixels, new_tokens=max_new_tokens,
        seconds=timeout,
    )  # fmt: skip
    key = _read_key(api_key_file)
    if key is None and not _is_loopback(host):
        echo(f"note: {host} may be reached by others, and no API key is asked for; --api-key-file sets one", err=True)
    log_to_stderr(logging.WARNING)
    with bind(host, port) as bound:
        predictor = load_predictor(model, base, checkpoint, device, precision, llm_model, device_map)
        from lavis_sam.serving.app import Service, make_app

        served, url = name or Path(model).name or model, address_of(bound)
        service = Service(
            predictor.model,
            served,
            limits,
            key,
            tuple(image_host or ()),
            on_start=lambda: echo(f"serving {served} at {url}/v1"),
            batch_size=batch_size,
            gather_seconds=gather_ms / 1000,
        )
        run_server(make_app(service), bound)


def _need_packages() -> None:
    """Say in one clear line what is missing, in the place of an import's traceback."""
    try:
        import lavis_sam.serving.server  # noqa: F401
    except ImportError as error:
        raise SamConfigurationError(
            f"serve needs packages that cannot be imported ({error}); install them with `pip install lavis_sam[serve]`."
        ) from error


def _read_key(file: Path | None) -> str | None:
    """Return the API key.

    Raises:
        SamConfigurationError: The file is no text, or the key is none that a header can hold.
    """
    try:
        key = os.environ.get(KEY_VARIABLE) if file is None else file.expanduser().read_text(encoding="utf-8").strip()
    except ValueError as error:
        raise SamConfigurationError(f"{file}: no UTF-8 text; wanted one line with the API key.") from error
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        place = KEY_VARIABLE if file is None else file
        raise SamConfigurationError(f"{place}: wanted an API key of one plain word; it is empty or has other letters.")
    return key


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
