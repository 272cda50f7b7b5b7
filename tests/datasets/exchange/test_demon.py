"""DEMON's documents into the unified format."""

import pytest

from helpers.release_parts import write_images, write_json
from lavis_sam.datasets.exchange import import_dataset

CONTEXT = "{image#1}Caption#1:A.{image#2}Caption#2:"


def document(**changes):
    whole = {
        "sample_id": 3,
        "task_instruction_id": "1",
        "task_instance": {"context": CONTEXT, "images_path": ["a.jpg", "b.jpg"]},
        "response": "B.",
    }
    metadata = {"dataset": "AESOP", "split": "test", "task_instruction": ["Zero.", "Tell the end."]}
    return {"metadata": metadata, "data": [{**whole, "sample_id": 1, "task_instruction_id": 0}, whole | changes]}


@pytest.fixture
def read(tmp_path):
    write_images(tmp_path / "images", "a.jpg", "b.jpg")

    def read_document(content):
        return import_dataset("demon", write_json(tmp_path / "core.json", content), tmp_path / "images")

    return read_document


def test_instruction_and_context_have_nothing_between_them(read):
    report = read(document())
    assert not report.problems
    assert [(sample.id, sample.instruction) for sample in report.samples] == [
        (1, "Zero." + CONTEXT),
        (3, "Tell the end." + CONTEXT),
    ]
    assert report.samples[1].images == ("a.jpg", "b.jpg")
    assert report.samples[1].references == ("B.",)


def test_choices(read):
    instance = {"context": "Which? {image#1}", "images_path": ["a.jpg"], "choice_list": ["cat", "a dog"]}
    (_, sample) = read(document(task_instance=instance, response=7)).samples
    assert sample.instruction == "Tell the end.Which? {image#1}Choice list:['cat', 'a dog']. Your answer is:"
    assert sample.output == "7"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"task_instruction_id": 2}, "wrong type"),
        ({"task_instruction_id": -1}, "wrong type"),
        ({"task_instruction_id": None}, "wrong type"),
        ({"task_instance": None}, "wrong type"),
        ({"task_instance": {"images_path": ["a.jpg"]}}, "wrong type"),
        ({"task_instance": {"context": "", "images_path": ["../images/a.jpg"]}}, "path leaves the root"),
        ({"task_instance": {"context": "", "images_path": []}}, "no images"),
        ({"response": ""}, "empty output"),
        ({"response": True}, "wrong type"),
        ({"sample_id": 1}, "duplicate id"),
        ({"sample_id": None}, "wrong id"),
    ],
)
def test_what_is_wrong_is_named(read, changes, kind):
    report = read(document(**changes))
    assert [problem.kind for problem in report.problems] == [kind]
    assert "data[1]" in report.problems[0].place
    assert [sample.id for sample in report.samples] == [1]


@pytest.mark.parametrize("content", [[], {}, {"metadata": {}}, {"metadata": {"task_instruction": []}, "data": {}}])
def test_other_documents_are_refused(read, content):
    report = read(content)
    assert not report.usable
    assert report.problems[0].kind == "wrong type"


def test_no_samples(read):
    assert read({"metadata": {"task_instruction": []}, "data": []}).problems[0].kind == "no samples"


def test_a_null_list_of_choices_is_none(read):
    instance = {"context": CONTEXT, "images_path": ["a.jpg", "b.jpg"], "choice_list": None}
    report = read(document(task_instance=instance))
    assert not report.problems
    assert report.samples[1].instruction == "Tell the end." + CONTEXT
