"""The command line, called in this process; and the tiny run that its tests are about."""

from pathlib import Path

from typer.testing import CliRunner

from lavis_sam.cli import app

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = str(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml")


def call(*words):
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout
