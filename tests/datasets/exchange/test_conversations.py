"""Mantis and M4-Instruct, in and out: nothing is lost, and what cannot be held is refused by name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.exchange import EXPORTS, export_records, import_dataset
from lavis_sam.datasets.exchange.conversations import conversation_records
from lavis_sam.datasets.sample import MultiImageSample, to_record
from lavis_sam.errors import SamConfigurationError

IMAGE = "<image>"


def unified(tmp_path, *conversations):
    """The unified records of a file of conversations, and its problems."""
    problems = []
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(conversations))
    return [found for _, found in conversation_records(path, problems)], problems


def mantis(*turns, images=("a.png", "b.png"), **more):
    roles = ("user", "assistant")
    conversation = [{"role": roles[k % 2], "content": text} for k, text in enumerate(turns)]
    return {"id": "m", "images": list(images), "conversation": conversation, **more}


def test_both_spellings(tmp_path):
    first = mantis(f"{IMAGE} {IMAGE} What?", "This.")
    second = {
        "sample_id": 5,
        "image": "a.png",
        "conversations": [{"from": "human", "value": f"{IMAGE}\nWho?"}, {"from": "gpt", "value": "Ann."}],
        "metadata": {"dataset": "X", "references": ["Ann.", "Anna."]},
    }
    records, problems = unified(tmp_path, first, second)
    assert not problems
    assert records == [
        {"id": "m", "img_list": ["a.png", "b.png"], "instruction": "What?", "output": "This.", "references": None},
        {"id": 5, "img_list": ["a.png"], "instruction": "Who?", "output": "Ann.", "references": ["Ann.", "Anna."]},
    ]


def test_images_of_a_parquet_file(tmp_path):
    entries = [{"path": "a.png", "bytes": None}, {"path": "b.png", "bytes": None}]
    records, _ = unified(tmp_path, mantis(f"{IMAGE}{IMAGE}?", "A.", images=entries))
    assert records[0]["img_list"] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        (f"{IMAGE}{IMAGE}\nWhat?", "What?"),
        (f"{IMAGE}\n{IMAGE} What?", "What?"),
        (f"{IMAGE}{IMAGE}\n\n  What?", "\n  What?"),
        (f"First {IMAGE}, second {IMAGE}.", "First {image#1}, second {image#2}."),
        (f"{IMAGE}before, {IMAGE}after", "{image#1}before, {image#2}after"),
        (f"What? {IMAGE}{IMAGE}", "What? {image#1}{image#2}"),
    ],
)
def test_marks_in_front_are_dropped_and_others_are_places(tmp_path, text, instruction):
    records, _ = unified(tmp_path, mantis(text, "A."))
    assert records[0]["instruction"] == instruction


def test_later_answers_have_the_talk_before_them(tmp_path):
    conversation = mantis(f"{IMAGE}Who is it?", "Ann.", f"And here? {IMAGE}", "Bob.", "Are they kin?", "No.")
    conversation["conversation"].insert(0, {"role": "system", "content": "Be brief."})
    records, problems = unified(tmp_path, conversation)
    assert not problems
    assert [(r["id"], r["img_list"], r["output"]) for r in records] == [
        ("m/1", ["a.png"], "Ann."),
        ("m/2", ["a.png", "b.png"], "Bob."),
        ("m/3", ["a.png", "b.png"], "No."),
    ]
    assert records[0]["instruction"] == "Be brief.\n{image#1}Who is it?"
    assert records[1]["instruction"] == "Be brief.\n{image#1}Who is it?\nAnn.\nAnd here? {image#2}"


@pytest.mark.parametrize(
    ("conversation", "kind", "words"),
    [
        (mantis(f"{IMAGE}?", "A."), "wrong image count", "found 1 <image> for 2 images"),
        (mantis(f"{IMAGE}{IMAGE}?"), "wrong type", "an answer to each question"),
        (mantis(), "wrong type", "an answer to each question"),
        (mantis(f"{IMAGE}{IMAGE}?", None), "wrong type", "None"),
        ({"id": 1, "images": []}, "wrong type", "conversation: found None"),
        ({"id": 1, "images": 5, "conversation": []}, "wrong type", "images: found 5"),
        (7, "wrong type", "found 7"),
        (mantis(f"{IMAGE}{IMAGE}?", "A.", "B?", "C.", id=None), "wrong id", "None"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, conversation, kind, words):
    records, problems = unified(tmp_path, mantis(f"{IMAGE}{IMAGE}?", "A."), conversation)
    assert len(records) == 1
    assert [problem.kind for problem in problems] == [kind]
    assert words in problems[0].message
    assert problems[0].place.endswith("conversations.json[1]")


def sample(**changes):
    whole = {"id": 1, "images": ("a", "b"), "instruction": "?", "output": "A.", "references": ("A.",), "source": ""}
    return MultiImageSample(**(whole | changes))


def test_written_as_the_others_write():
    said = sample(instruction="Before {image#1}, after {image#2}?", references=("A.", "B."), output="A.. B.")
    assert EXPORTS["mantis"](said) == {
        "id": 1,
        "images": ["a", "b"],
        "conversation": [
            {"role": "user", "content": "Before <image>, after <image>?"},
            {"role": "assistant", "content": "A.. B."},
        ],
        "references": ["A.", "B."],
    }
    assert EXPORTS["m4_instruct"](sample()) == {
        "sample_id": 1,
        "image": ["a", "b"],
        "conversations": [{"from": "human", "value": "<image><image>\n?"}, {"from": "gpt", "value": "A."}],
        "metadata": {},
    }


@pytest.mark.parametrize(
    "instruction",
    [
        *("No places", "{image#2}{image#1}", "{image#1}{image#1}", "{image#1}", "{image#1} {image#2}x"),
        "{image#" + "9" * 5000 + "}",
    ],
)
def test_images_without_a_place_of_their_own_stand_in_front(instruction):
    content = EXPORTS["mantis"](sample(instruction=instruction))["conversation"][0]["content"]
    assert content == f"<image><image>\n{instruction}"


def test_a_text_with_the_mark_in_it_is_refused():
    records, report = export_records("mantis", [sample(), sample(id=2, output="An <image> tag")])
    assert len(records) == len(report.samples) == 1
    assert [(problem.kind, problem.place) for problem in report.problems] == [("image mark in a text", "id 2")]


def test_unknown_names():
    with pytest.raises(SamConfigurationError, match=r"unknown format 'demon'.*m4_instruct, mantis"):
        export_records("demon", [])
    with pytest.raises(SamConfigurationError, match=r"'lmms-eval' is a folder and not records"):
        export_records("lmms-eval", [])
    with pytest.raises(SamConfigurationError, match=r"unknown format 'm5'.*demon, m4_instruct, mantis"):
        import_dataset("m5", None, None)


# Texts that look like what the formats give a meaning to.
PIECES = st.sampled_from(
    ["{image#1}", "{image#2}", "{image#3}", "\n", " ", "a", "<imag", "e>", "{image#", "é", "Caption#1:"]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
RECORDS = st.builds(
    lambda images, instruction, output, more: {"img_list": images, "instruction": instruction, "output": output} | more,
    st.lists(st.sampled_from(["one.png", "two.png", "dir/three.png"]), min_size=1, max_size=3),
    TEXTS.filter(lambda text: IMAGE not in text),
    TEXTS.filter(lambda text: text.strip() and IMAGE not in text),
    st.fixed_dictionaries(
        {}, optional={"references": st.lists(TEXTS.filter(str.strip), min_size=1, max_size=3)}
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, [record(img_list=["one.png", "two.png", "dir/three.png"])])
    return folder


@settings(max_examples=150, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=3), numbered=st.booleans())
@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_round_trip_loses_nothing(image_folder, name, records, numbered):
    records = [{"id": k if numbered else f"n{k}", **one} for k, one in enumerate(records)]
    path = image_folder / "annotations.json"
    path.write_text(json.dumps(records))
    before = read_annotations(path, image_folder)
    exported, report = export_records(name, before)
    assert not report.problems
    path.write_text(json.dumps(exported))
    after = import_dataset(name, path, image_folder)
    assert not after.problems
    assert [to_record(one) for one in after.samples] == [to_record(one) for one in before]
    assert [type(one.id) for one in after.samples] == [type(one.id) for one in before]


def instructions(tmp_path, *turns):
    records, problems = unified(tmp_path, mantis(*turns, images=("a.png", "b.png", "c.png")))
    assert not problems
    return [(found["instruction"], len(found["img_list"])) for found in records]


def test_a_mark_in_an_answer_is_text(tmp_path):
    turns = (f"{IMAGE} one", f"write {IMAGE}", f"{IMAGE} two", "B", f"and {IMAGE}?", "C")
    first = f"{{image#1}} one\nwrite {IMAGE}\n{{image#2}} two"
    assert instructions(tmp_path, *turns) == [("one", 1), (first, 2), (f"{first}\nB\nand {{image#3}}?", 3)]


def test_a_mark_in_an_answer_after_leading_marks_is_text(tmp_path):
    assert instructions(tmp_path, f"{IMAGE * 3}\nwhat?", f"{IMAGE}{IMAGE}", "why?", "so") == [
        ("what?", 3),
        (f"what?\n{IMAGE}{IMAGE}\nwhy?", 3),
    ]


def test_a_mark_that_begins_an_answer_is_no_leading_mark(tmp_path):
    turns = (IMAGE, f"{IMAGE} is a mark", f"{IMAGE}{IMAGE} what?", "this")
    assert instructions(tmp_path, *turns)[1] == (f"{{image#1}}\n{IMAGE} is a mark\n{{image#2}}{{image#3}} what?", 3)


@pytest.mark.parametrize("null", ["id", "images", "conversations", "references", "role", "content"])
def test_a_null_beside_the_other_spelling_is_nothing(tmp_path, null):
    asked = {"from": "human", "value": f"{IMAGE} Who?", "role": None, "content": None}
    answered = {"from": "gpt", "value": "Ann.", "role": None, "content": None}
    if null not in ("role", "content"):
        asked, answered = ({k: m[k] for k in ("from", "value")} for m in (asked, answered))
    key = "conversation" if null == "conversations" else "conversations"
    whole = {"sample_id": 5, "image": "a.png", key: [asked, answered], "metadata": {"references": ["An"]}, null: None}
    (found,), problems = unified(tmp_path, whole)
    assert not problems
    assert found == {"id": 5, "img_list": ["a.png"], "instruction": "Who?", "output": "Ann.", "references": ["An"]}
