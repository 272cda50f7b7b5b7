"""Curves of runs are read from their logs and drawn."""

import sys

import pytest

from helpers.run_logs import write_log
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.training.curves import draw_curves, read_curves


def test_curves_are_read_over_kills_and_continuations(tmp_path):
    again = {"event": "train", "step": 1, "loss": 7.0, "lr": 0.2}
    skipped = {"event": "train", "step": 3, "loss": None, "lr": 0.2}
    validation = {"event": "evaluation", "epoch": 0, "loss": 5.0}
    tested = {"event": "evaluation", "epoch": "last", "loss": 1.0}
    curves = read_curves(write_log(tmp_path / "run", [3.0, 2.0, 1.0], again, skipped, validation, tested))
    assert curves.name == "run"
    assert curves.loss == {0: 3.0, 1: 7.0, 2: 1.0}
    assert curves.lr == {0: 0.1, 1: 0.2, 2: 0.1, 3: 0.2}
    assert curves.validation == {4: 5.0}


def test_curves_leave_out_what_a_run_went_back_behind(tmp_path):
    then = [{"event": "evaluation", "epoch": 1, "loss": 5.0}, {"event": "resumed", "step": 2}]
    now = [
        {"event": "evaluation", "epoch": 0, "loss": 4.0},
        {"event": "train", "step": 2, "loss": 9.0, "losses": {"a": 9.0}, "lr": 0.3},
    ]
    curves = read_curves(write_log(tmp_path / "run", [3.0, 2.0, 1.0, 0.5], *then, *now))
    assert curves.loss == {0: 3.0, 1: 2.0, 2: 9.0}
    assert curves.losses == {"a": {2: 9.0}}
    assert curves.lr == {0: 0.1, 1: 0.1, 2: 0.3}
    assert curves.validation == {2: 4.0}


def test_plot_needs_runs(tmp_path):
    with pytest.raises(SamDataError, match=r"log\.jsonl: cannot be read"):
        read_curves(tmp_path)
    with pytest.raises(SamDataError, match="found no training step"):
        read_curves(write_log(tmp_path / "empty", []))


def test_without_matplotlib_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SamConfigurationError, match="pip install matplotlib"):
        draw_curves([write_log(tmp_path / "run", [1.0])])


@pytest.mark.parametrize(
    "event",
    [
        '"step": 1, "loss": 1.0',
        '"step": 1, "lr": [[1]], "loss": 1.0',
        '"step": 1, "lr": 1.0, "loss": "low"',
        '"step": 1, "lr": 1.0, "loss": 1.0, "losses": [1]',
        '"step": 1%s, "lr": 1.0, "loss": 1.0' % ("0" * 400),
    ],
)
def test_a_log_that_no_run_wrote_is_an_error(tmp_path, event):
    (tmp_path / "log.jsonl").write_text(f'{{"event": "train", {event}}}\n')
    with pytest.raises(SamDataError, match="an event that no run writes"):
        draw_curves([tmp_path])


def test_an_endless_line_of_a_log_is_named(tmp_path):
    with open(tmp_path / "log.jsonl", "wb") as file:
        file.truncate(2**26)
    with pytest.raises(SamDataError, match=r"log\.jsonl:1: found a line of more than \d+ bytes\. No run writes one"):
        draw_curves([tmp_path])
