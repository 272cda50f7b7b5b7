"""Answers on the disk: nothing whole is lost, nothing torn is read, nothing foreign is taken."""

import json

import pytest

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.prediction_log import OtherAnswersError, PredictionLog, open_prediction_log

IDENTITY = {"weights": "aa", "decoding": {"num_beams": 5}}


def answer(index, text="ja ü"):
    return {"index": index, "sample_id": f"s{index}", "pred_response": text, "gt_response": "g"}


def written(folder, *indices, rank=0):
    log = PredictionLog(folder, IDENTITY, rank)
    log.append([answer(index) for index in indices])
    log.close()
    return log.path


def reopened(folder, count=10, identity=IDENTITY, **options):
    return open_prediction_log(folder, identity, count=count, **options)


def test_answers_of_all_processes_are_found_again(tmp_path):
    written(tmp_path, 3, 1)
    written(tmp_path, 2, rank=7)
    _, answers = reopened(tmp_path)
    assert answers == {index: answer(index) for index in (1, 2, 3)}


def test_nothing_is_made_before_the_first_answer(tmp_path):
    log, answers = reopened(tmp_path / "new")
    assert answers == {}
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_appending_goes_on_in_the_same_file_with_one_header(tmp_path):
    path = written(tmp_path, 0)
    log, _ = reopened(tmp_path)
    log.append([answer(1)])
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"format": 1, "identity": IDENTITY}
    assert lines[1:] == [answer(0), answer(1)]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_what_a_killed_process_left_of_a_line_is_cut_off(tmp_path, cut):
    path = written(tmp_path, 0, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    log, answers = reopened(tmp_path)
    assert answers == {0: answer(0)}
    log.append([answer(1)])
    log.close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("left", ["", '{"format": 1, "iden'])
def test_killed_before_the_header_was_whole(tmp_path, left):
    (tmp_path / "answers-0.jsonl").write_text(left)
    log, answers = reopened(tmp_path)
    assert answers == {}
    log.append([answer(4)])
    log.close()
    assert reopened(tmp_path)[1] == {4: answer(4)}


def test_other_answers_are_refused_naming_both_sides(tmp_path):
    path = written(tmp_path, 0)
    before = path.read_bytes()
    with pytest.raises(
        OtherAnswersError, match=r"(?s)decoding.num_beams: then 5, now 1.*take another folder"
    ) as caught:
        reopened(tmp_path, identity={**IDENTITY, "decoding": {"num_beams": 1}})
    assert str(tmp_path) in str(caught.value)
    assert "weights" not in str(caught.value)
    assert path.read_bytes() == before


def test_other_answers_are_thrown_away_on_request(tmp_path):
    path = written(tmp_path, 0)
    log, answers = reopened(tmp_path, identity={"weights": "bb"}, restart=True)
    assert answers == {}
    assert not path.exists()
    log.append([answer(2)])
    log.close()
    assert list(reopened(tmp_path, identity={"weights": "bb"})[1]) == [2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "wanted an answer to one of the 10 samples"),
        ('{"index": 10, "pred_response": "", "gt_response": ""}', "wanted an answer"),
        ('{"index": true, "pred_response": "", "gt_response": ""}', "wanted an answer"),
        ('{"index": 1, "pred_response": null, "gt_response": ""}', "wanted an answer"),
        ("no json", "wanted an answer"),
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path, line, message):
    path = written(tmp_path, 0)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(SamDataError, match=rf"answers-0.jsonl:3: .*{message}"):
        reopened(tmp_path)


@pytest.mark.parametrize("header", ["[]", '{"format": 2, "identity": {}}', '{"format": 1, "identity": 3}', "x"])
def test_a_file_without_our_header_is_refused(tmp_path, header):
    (tmp_path / "answers-0.jsonl").write_text(header + "\n")
    with pytest.raises(SamDataError, match=r"answers-0.jsonl:1: no header"):
        reopened(tmp_path)


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lavis_sam.evaluation.prediction_log._MAX_LINE_BYTES", 100)
    (tmp_path / "answers-0.jsonl").write_bytes(b"x" * 200)
    with pytest.raises(SamDataError, match="more than 100 bytes"):
        reopened(tmp_path)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SamConfigurationError, match=r"answers-0.jsonl: cannot be written .*start again"):
        written(tmp_path / "file", 0)
