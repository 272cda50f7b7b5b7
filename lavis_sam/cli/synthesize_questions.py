"""`lavis-sam synthesize-questions`: more questions about images that were synthesised."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.terminal import echo


def synthesize_questions(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `lavis-sam synthesize --config pretraining` made.")
    ],
    num: Annotated[int, typer.Option("--num", min=1, help="Questions about an image.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What is asked depends on it alone.")] = 0,
    validation: Annotated[
        float, typer.Option("--validation", min=0.0, help="Share of the images that is kept for validation.")
    ] = 0.04,
) -> None:
    """Ask several questions about each image of a data set of single images.

    DIR gets questions.json and questions_val.json in the unified format, the latter about the last images; earlier
    ones are replaced. Exit code 0: written; 2: DIR is no such data set, or the disk is full.

    \b
    Example:
      lavis-sam synthesize-questions data/pretraining --num 8
    """
    from lavis_sam.synthesis.questions import QUESTIONS, VALIDATION, write_questions

    trained, kept = write_questions(folder, num=num, seed=seed, validation=validation)
    echo(f"{folder / QUESTIONS}: {trained:,} questions; {folder / VALIDATION}: {kept:,} questions")
