"""`lavis-sam demo`: a web page that asks a model about several images, with and without guidance."""

import logging
from typing import Annotated

import typer

from lavis_sam.cli.model_options import (
    Base,
    Checkpoint,
    Device,
    LanguageModel,
    Model,
    Precision,
    load_predictor,
)
from lavis_sam.errors import SamConfigurationError
from lavis_sam.terminal import echo, log_to_stderr


def demo(
    model: Model = "tiny",
    base: Base = None,
    llm_model: LanguageModel = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; by default this machine alone has the page.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 7860,
    max_images: Annotated[int, typer.Option(help="Images of a question.")] = 16,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a question's images.")] = 20 * 1024**2,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of an answer.")] = 255,
) -> None:
    """Show a web page: drop several images, ask, and compare the answers with and without guidance.

    It works offline and asks for no account. docs/demo.md says what is on it. Exit code 0: ended when asked to (Ctrl-C,
    SIGTERM); 2: model, address or settings cannot be used.

    \b
    Examples:
      lavis-sam demo
      lavis-sam demo --model vicuna7b --checkpoint my_adapter --port 8080
    """
    _need_packages()
    from lavis_sam.serving.limits import Limits
    from lavis_sam.serving.server import address_of, bind, run_server

    limits = Limits(images=max_images, bytes=max_bytes, new_tokens=max_new_tokens)
    log_to_stderr(logging.WARNING)
    with bind(host, port) as bound:
        predictor = load_predictor(model, base, checkpoint, device, precision, llm_model)

        from lavis_sam.demo.page import make_page

        app = make_page(predictor.model, limits)
        echo(f"the page is at {address_of(bound)}/ (Ctrl-C ends it)")
        run_server(app, bound)


def _need_packages() -> None:
    """Say in one clear line what is missing, in the place of an import's traceback."""
    import importlib.util

    missing = [name for name in ("gradio", "fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise SamConfigurationError(
            f"demo needs packages that are not installed ({', '.join(missing)}); install them with `pip install "
            "lavis_sam[demo]`, or take the environment that `make setup-demo` makes (docs/demo.md)."
        )
