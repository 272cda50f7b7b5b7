"""What `python -m lavis.train --cfg-path X [--options a.b=c …]` runs."""

import sys
from collections.abc import Sequence

from lavis_sam.entry import build_parser, run_program

PROGRAM = "lavis.train"


def main(argv: Sequence[str] | None = None) -> int:
    """Train the run that the configuration describes, then caption its test splits; return the exit code."""
    parser = build_parser(PROGRAM, "Train a model, then caption the test splits.")
    return run_program(parser.parse_args(argv), PROGRAM)


if __name__ == "__main__":
    sys.exit(main())
