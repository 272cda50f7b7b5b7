"""Whole runs on fake backends, finished or killed."""

import os

import pytest

from helpers.synthesis import config
from lavis_sam import files
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.run import synthesize
from lavis_sam.synthesis.runners.local import SerialRunner

NUM, SEED = 14, 3
# Some tries fail and some samples repeat, so that the hard ways are walked too.
SPOILED = config(
    sources={"characters": {"backend": "helpers.synthesis:FakeShapes", "spoil": "raise", "every": 3}},
    quality={"duplicates.distance": {"min": 23}},
    run={"attempts": 30, "rounds": 9},
)


def settings(plain=None):
    return SynthesisSettings.from_config(plain or config())


def make(root, plain=None, *, num=NUM, seed=SEED, runner=None, resume=False):
    return synthesize(settings(plain), root, num=num, seed=seed, runner=runner or SerialRunner(), resume=resume)


class Killed(BaseException):
    """As sudden as a signal: no handler of errors sees it."""


def die_at_rename(monkeypatch, number):
    """From the n-th file on, nothing gets onto the disk any more."""
    left = [number]
    replace = os.replace

    def failing(source, destination):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        replace(source, destination)

    monkeypatch.setattr(files.os, "replace", failing)


def make_until_killed(monkeypatch, root, number):
    with monkeypatch.context() as patch:
        die_at_rename(patch, number)
        with pytest.raises(Killed):
            make(root, SPOILED, resume=True)
