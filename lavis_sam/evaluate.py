"""What `python -m lavis.evaluate --cfg-path X [--checkpoint FILE] [--options a.b=c …]` runs."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from lavis_sam.entry import build_parser, run_program

PROGRAM = "lavis.evaluate"


def main(argv: Sequence[str] | None = None) -> int:
    """Caption the test splits of the configuration and save the predictions; return the exit code."""
    parser = build_parser(PROGRAM, "Caption the test splits and save the predictions.")
    parser.add_argument("--checkpoint", help="trained layers: a file, a run's or adapter's folder (model.finetuned)")
    parser.add_argument("--ckpt", dest="checkpoint", help=argparse.SUPPRESS)  # its name before
    arguments = parser.parse_args(argv)
    return run_program(arguments, PROGRAM, evaluation_settings(arguments.checkpoint))


def evaluation_settings(checkpoint: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Return the settings above file and options that make a run an evaluation, of trained layers if they are given."""
    layers = {"model.load_finetuned": True, "model.finetuned": os.fspath(checkpoint)} if checkpoint else {}
    return {"run.evaluate": True, **layers}


if __name__ == "__main__":
    sys.exit(main())
