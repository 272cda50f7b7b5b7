import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavis_sam import files
from lavis_sam.errors import SamDataError
from lavis_sam.metrics.predictions import (
    Prediction,
    check_same_data,
    data_fingerprint,
    of_samples,
    parse_predictions,
    read_predictions,
)

GOOD = {"sample_id": 1, "pred_response": "a dog", "gt_response": "a cat"}


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def test_a_good_file(tmp_path):
    several = {**GOOD, "sample_id": "x", "references": ["a cat", "one cat"], "more": 1}
    found = read_predictions(write(tmp_path / "pred.json", [GOOD, several]))
    assert found == [
        Prediction(1, "a dog", "a cat", ("a cat",)),
        Prediction("x", "a dog", "a cat", ("a cat", "one cat")),
    ]
    assert [p.as_record() for p in found] == [GOOD, {k: v for k, v in several.items() if k != "more"}]


def test_a_byte_order_mark_and_an_object_around_the_list(tmp_path):
    path = write(tmp_path / "pred.json", "\ufeff" + json.dumps({"note": "…", "predictions": [GOOD]}))
    assert [p.sample_id for p in read_predictions(path)] == [1]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("", "not JSON"),
        ({}, "wanted a list"),
        ("null", "wanted a list"),
        ([], "found 0 predictions"),
        ([7], "found 7, wanted an object"),
        ([{**GOOD, "sample_id": None}], "sample_id: found None"),
        ([{**GOOD, "sample_id": True}], "sample_id: found True"),
        ([{**GOOD, "sample_id": 1.5}], "sample_id: found 1.5"),
        ([{**GOOD, "sample_id": ""}], "sample_id: found ''"),
        ([{**GOOD, "pred_response": None}], "pred_response (sample 1): found None, wanted a text"),
        ([{k: v for k, v in GOOD.items() if k != "gt_response"}], "gt_response (sample 1): found None (its keys are"),
        ([{**GOOD, "references": []}], "references (sample 1): found [], wanted a non-empty list"),
        ([{**GOOD, "references": "a cat"}], "references (sample 1)"),
        ([{**GOOD, "references": [1]}], "references (sample 1)"),
        ([{**GOOD, "pred_response": "\ud800"}], "lone surrogate"),
        ([GOOD, {**GOOD, "sample_id": 2}, GOOD], "occur more than once: 1."),
        ([GOOD, {**GOOD, "sample_id": "1"}], "occur more than once: 1."),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, document, said):
    path = write(tmp_path / "pred.json", document)
    with pytest.raises(SamDataError) as error:
        read_predictions(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_every_problem_is_counted_and_the_first_are_shown(tmp_path):
    path = write(tmp_path / "pred.json", [{"sample_id": i} for i in range(30)])
    with pytest.raises(SamDataError, match=r"60 problem\(s\)[\s\S]*pred\.json\[4\][\s\S]*… and 50 more"):
        read_predictions(path)


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(SamDataError, match="No such file"):
        read_predictions(tmp_path / "none.json")
    with pytest.raises(SamDataError, match="Is a directory"):
        read_predictions(tmp_path)
    (tmp_path / "latin.json").write_bytes('["é"]'.encode("latin-1"))
    with pytest.raises(SamDataError, match="not UTF-8: byte 2"):
        read_predictions(tmp_path / "latin.json")
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 10)
    with pytest.raises(SamDataError, match="wanted at most 10"):
        read_predictions(write(tmp_path / "large.json", [GOOD]))


def prediction(name, text="t", truth="r", references=None):
    return Prediction(name, text, truth, references or (truth,))


def test_the_fingerprint_is_of_the_data_alone():
    base = [prediction(1), prediction(2, truth="s")]
    same = [prediction("2", text="other", truth="s"), prediction("1", text="another")]
    assert data_fingerprint(base) == data_fingerprint(same)
    for other in (
        [prediction(1)],
        [prediction(1), prediction(3, truth="s")],
        [prediction(1), prediction(2, truth="S")],
        [prediction(1), prediction(2, truth="s", references=("s", "u"))],
        [prediction(1, truth="s"), prediction(2)],
    ):
        assert data_fingerprint(base) != data_fingerprint(other)


def test_the_same_data_in_another_order_may_be_compared():
    check_same_data([prediction(1), prediction(2)], [prediction("2"), prediction("1")], names=("a", "b"))


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ([prediction(1)], "b lacks 1 of a's samples: 2"),
        ([prediction(1), prediction(2), prediction(3)], "a lacks 1 of b's samples: 3"),
        ([prediction(1), prediction(2, truth="s")], "sample 2: the reference is 'r' (of 1) in a and 's' (of 1) in b"),
        ([prediction(1), prediction(2, references=("r", "s"))], "(of 2) in b"),
    ],
)
def test_other_data_is_refused_naming_both_sides(second, said):
    with pytest.raises(SamDataError) as error:
        check_same_data([prediction(1), prediction(2)], second, names=("a", "b"))
    assert said in str(error.value)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x, max_size=3))


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys([*GOOD, "references"], JSON)), max_size=4) | JSON)
def test_no_document_gets_past_or_crashes_the_reader(document):
    try:
        found = parse_predictions(document, place="here")
    except SamDataError:
        return
    assert found
    assert all(isinstance(p.text, str) and p.references for p in found)


def test_predictions_get_the_references_of_their_data_set():
    samples = [Prediction(1, "", "a cat", ("a cat", "one cat")), Prediction("2", "", "a dog", ("a dog",))]
    found = of_samples(
        [Prediction(2, "x", "a dog", ("a dog",)), Prediction("1", "y", "a cat", ("a cat",))], samples, names=("p", "d")
    )
    assert [(p.sample_id, p.text, p.references) for p in found] == [
        (2, "x", ("a dog",)),
        ("1", "y", ("a cat", "one cat")),
    ]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([Prediction(1, "y", "a cat", ("a cat",))], "pred lacks 1 of data's samples: 2"),
        ([Prediction(i, "y", "a cat", ("a cat",)) for i in (1, 2, 3)], "data lacks 1 of pred's samples: 3"),
        ([Prediction(i, "y", "a cow", ("a cow",)) for i in (1, 2)], "sample 1: the reference is 'a cow'.* in pred and"),
        ([Prediction(i, "y", "a cat", ("a cat", "b")) for i in (1, 2)], "sample 1: the reference"),
    ],
)
def test_predictions_of_other_samples_are_refused(predictions, message):
    samples = [Prediction(i, "", "a cat", ("a cat",)) for i in (1, 2)]
    with pytest.raises(SamDataError, match=message):
        of_samples(predictions, samples, names=("pred", "data"))
