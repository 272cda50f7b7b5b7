"""The `lavis-sam` command.

Each command or group has a file of its own, however short; what several share is in `model_options`, `run_options`,
`score_tables` and `help_format`. They import what they need when they run, so that `lavis-sam --help` answers at once.

Exit codes: 0 all is well, 1 a check failed, 2 the command or its input was wrong.
"""

import atexit
import contextlib
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from lavis_sam import __version__
from lavis_sam.cli.baseline import baseline
from lavis_sam.cli.benchmark import benchmark
from lavis_sam.cli.cache_features import cache_features
from lavis_sam.cli.caption import caption
from lavis_sam.cli.compare import compare
from lavis_sam.cli.config import config
from lavis_sam.cli.data import app as data
from lavis_sam.cli.demo import demo
from lavis_sam.cli.doctor import doctor
from lavis_sam.cli.explain import explain
from lavis_sam.cli.export import export
from lavis_sam.cli.help_format import WholeSentences, settings_of
from lavis_sam.cli.parity import parity
from lavis_sam.cli.plan import plan
from lavis_sam.cli.plot import plot
from lavis_sam.cli.run_commands import evaluate, train
from lavis_sam.cli.score import score
from lavis_sam.cli.serve import serve
from lavis_sam.cli.sweep import report, sweep
from lavis_sam.cli.synthesize import synthesize, synthesize_report
from lavis_sam.cli.synthesize_merge import synthesize_merge
from lavis_sam.cli.synthesize_questions import synthesize_questions
from lavis_sam.cli.synthesize_rate import synthesize_agreement, synthesize_rate
from lavis_sam.cli.table import table
from lavis_sam.cli.vlmeval import vlmeval
from lavis_sam.errors import SamError
from lavis_sam.terminal import PrintableFormatter, echo, print_error, printable

DEBUG_VARIABLE = "LAVIS_SAM_DEBUG"
USAGE_ERROR = 2
# ClickException, which typer has under no public name.
_USAGE_PROBLEM: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

# Rich tracebacks would come between the user and the one clear line; `main` decides what is shown.
app = typer.Typer(
    name="lavis-sam",
    cls=WholeSentences,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    baseline,
    benchmark,
    cache_features,
    caption,
    compare,
    config,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    parity,
    plan,
    plot,
    report,
    score,
    serve,
    sweep,
    synthesize,
    synthesize_agreement,
    synthesize_merge,
    synthesize_questions,
    synthesize_rate,
    synthesize_report,
    table,
    train,
    vlmeval,
):
    _name = _command.__name__.replace("_", "-")
    app.command(_name, context_settings=settings_of(_name))(_command)
app.add_typer(data, name="data", cls=WholeSentences)


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"lavis-sam {__version__}")
        raise typer.Exit


def _set_debug(wanted: bool) -> None:
    if wanted:
        os.environ[DEBUG_VARIABLE] = "1"


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", callback=_set_debug, help=f"Show tracebacks of errors; so does {DEBUG_VARIABLE}=1."),
    ] = False,
) -> None:
    """SAM, semantic alignment for multimodal large language models, as a LAVIS plugin.

    Each command has its examples: `lavis-sam COMMAND --help`.

    \b
    Examples:
      lavis-sam doctor
      lavis-sam caption one.jpg two.jpg --prompt "What do both images show?"
      lavis-sam train projects/sam/train.yaml --data my_data --options run.job_id=mine
    """


def main() -> None:
    """Run the command line: errors raised on purpose are one line on stderr and exit code 2."""
    if logging.lastResort is not None:  # for the warnings of commands that set up no logging
        logging.lastResort.setFormatter(PrintableFormatter())
    try:
        code = app(prog_name="lavis-sam", standalone_mode=False)
    except _USAGE_PROBLEM as error:
        error.message = printable(_with_value(error))
        error.show()
        sys.exit(error.exit_code)
    except typer.Abort:
        echo("Aborted!", err=True)
        sys.exit(1)
    except (SamError, OSError) as error:
        if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
            raise
        print_error("lavis-sam", error)
        sys.exit(USAGE_ERROR)
    _leave(code if isinstance(code, int) else 0)


def _with_value(error: Any) -> str:
    """Return a usage problem's message, with the value that it is about where typer leaves it out."""
    problems = getattr(error.__cause__, "errors", None)  # pydantic's ValidationError
    found = problems()[0].get("input") if callable(problems) else None
    return error.message if found is None or str(found) in error.message else f"{found!r}: {error.message}"


def _is_the_process() -> bool:
    """Return whether this process was started as `lavis-sam` or `python -m lavis_sam.cli`, and ends with it."""
    started = sys.modules["__main__"]
    spec = getattr(started, "__spec__", None)
    module = spec.name if spec is not None else ""
    return module.startswith("lavis_sam.cli") or Path(getattr(started, "__file__", "")).stem.startswith("lavis-sam")


def _leave(code: int) -> None:
    """End this process; with PyTorch in it without taking its modules down one by one, which costs a second.

    What was registered for the end (files to remove, logs to close) runs all the same. While other threads or processes
    of ours are alive, or the process is a test's or a notebook's that called `main`, Python ends the usual way.
    """
    import multiprocessing

    others = threading.active_count() > 1 or multiprocessing.active_children()
    if "torch" in sys.modules and _is_the_process() and not others:
        atexit._run_exitfuncs()
        # Where nobody reads any more, Python says so its own way.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)
