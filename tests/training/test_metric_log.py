"""The log of a run after a crash."""

import pytest

from helpers.runs import make_runner
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.training.metric_log import _MAX_LINE_BYTES, MetricLog, read_metric_log


def test_a_line_that_a_killed_run_left_half_is_ended_and_passed_over(tmp_path):
    metric_log = MetricLog(tmp_path / "log.jsonl")
    metric_log.end_last_line()
    metric_log.write("train", step=0)
    with open(metric_log.path, "a") as file:
        file.write('{"event": "tra')
    metric_log.end_last_line()
    metric_log.write("train", step=1)
    metric_log.end_last_line()
    assert [event["step"] for event in read_metric_log(metric_log.path)] == [0, 1]


def test_a_log_that_cannot_be_written_is_one_clear_error(tmp_path):
    runner = make_runner(tmp_path)
    (runner.output_dir / "log.jsonl").mkdir()
    with pytest.raises(SamConfigurationError, match=r"log\.jsonl: cannot be written \(Is a directory\)"):
        runner.train()


def test_a_line_that_is_nested_too_deeply_is_passed_over(tmp_path):
    (tmp_path / "log.jsonl").write_text("[" * 100_000 + '\n{"event": "train"}\n')
    assert list(read_metric_log(tmp_path / "log.jsonl")) == [{"event": "train"}]


def test_an_endless_line_is_refused_before_it_is_read(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"event": "train"}\n')
    with open(log, "ab") as file:
        file.truncate(2**26)  # a hole, which takes no room
    events = read_metric_log(log)
    assert next(events) == {"event": "train"}
    with pytest.raises(SamDataError, match=rf"log\.jsonl:2: found a line of more than {_MAX_LINE_BYTES} bytes"):
        next(events)


def test_a_line_that_is_not_utf_8_is_passed_over_or_shown_with_marks(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b'\xff\n{"event": "\xff"}\n')
    assert list(read_metric_log(tmp_path / "log.jsonl")) == [{"event": "\ufffd"}]
