"""`lavis-sam synthesize-questions`: more questions about images that were synthesised."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.errors import SamConfigurationError
from lavis_sam.terminal import echo


def synthesize_questions(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `lavis-sam synthesize --config pretraining` made.")
    ],
    num: Annotated[int, typer.Option("--num", min=1, help="Questions about an image.")] = 8,
    num_images: Annotated[
        int,
        typer.Option("--num-images", help="Images of a question: 1; or 2 or 5 that share exactly one thing."),
    ] = 1,
    without: Annotated[
        list[Path] | None,
        typer.Option("--without", metavar="DIR", help="What this data set's images share is no answer; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What is asked depends on it alone.")] = 0,
    validation: Annotated[
        float, typer.Option("--validation", min=0.0, help="Share of the images that is kept for validation.")
    ] = 0.04,
) -> None:
    """Ask several questions about the images of a data set of single images.

    DIR gets questions.json and questions_val.json in the unified format, the latter about the last images. With
    --num-images 2 they are shared_2.json and shared_2_val.json (5 likewise): what do these images share? Earlier files
    are replaced. Exit code 0: written; 2: DIR is no such data set, or the disk is full.

    \b
    Examples:
      lavis-sam synthesize-questions data/pretraining --num 8
      lavis-sam synthesize-questions data/pretraining --num 2 --num-images 2 --without data/tiny/held_out_pairs
    """
    from lavis_sam.synthesis import questions, shared_questions

    if num_images == 1:
        if without:
            raise SamConfigurationError(
                "--without is for questions about several images; give --num-images 2 or 5 too."
            )
        names = questions.QUESTIONS, questions.VALIDATION
        counts = questions.write_questions(folder, num=num, seed=seed, validation=validation)
    else:
        names = shared_questions.SHARED.format(num_images), shared_questions.VALIDATION.format(num_images)
        counts = shared_questions.write_shared_questions(
            folder, num_images=num_images, num=num, seed=seed, validation=validation, without=without or ()
        )
    echo("; ".join(f"{folder / name}: {count:,} questions" for name, count in zip(names, counts, strict=True)))
