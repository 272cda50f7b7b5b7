"""What `python -m lavis.evaluate --cfg-path X [--ckpt FILE] [--options a.b=c …]` runs."""

import sys
from collections.abc import Sequence
from typing import Any

from lavis_sam.entry import build_parser, run_program

PROGRAM = "lavis.evaluate"


def main(argv: Sequence[str] | None = None) -> int:
    """Caption the test splits of the configuration and save the predictions; returns the exit code."""
    parser = build_parser(PROGRAM, "Caption the test splits and save the predictions.")
    parser.add_argument("--ckpt", help="trained layers: a file, a run's or adapter's folder; short for model.finetuned")
    arguments = parser.parse_args(argv)
    forced: dict[str, Any] = {"run.evaluate": True}
    if arguments.ckpt:
        forced |= {"model.load_finetuned": True, "model.finetuned": arguments.ckpt}
    return run_program(arguments, PROGRAM, forced)


if __name__ == "__main__":
    sys.exit(main())
