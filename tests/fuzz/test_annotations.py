"""Any bytes as an annotation file: each record comes out as it went in, or a problem names it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from helpers.dummies import record, write_dataset
from helpers.fuzzing import damaged, fuzz_settings, limited_memory
from lavis_sam.datasets.annotations import read_annotations, scan_annotations, write_annotations
from lavis_sam.datasets.sample import MultiImageSample, to_record
from lavis_sam.errors import SamDataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("id", "img_list", "instruction", "output", "references")
WHOLE = st.builds(record, st.integers(0, 9) | st.text(max_size=2), output=st.text(max_size=3), references=VALUES)
RECORDS = st.lists(WHOLE | st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, VALUES)) | VALUES, max_size=4)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
SAMPLES = st.lists(
    st.builds(
        MultiImageSample,
        id=st.integers() | WORDS,
        images=st.lists(st.sampled_from(["one.png", "two.png"]), min_size=1, max_size=3).map(tuple),
        instruction=st.text(st.characters(codec="utf-8")),
        output=WORDS,
        references=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        source=st.just(""),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda sample: str(sample.id),
)
TEXT = json.dumps([record("a"), record(2, references=["Zwö.", "猫"])], ensure_ascii=False).encode()
LINES = b"\n".join(json.dumps(one).encode() for one in json.loads(TEXT))


@given(records=RECORDS, as_lines=st.booleans())
@fuzz_settings(80)
def test_every_record_is_a_sample_or_a_problem(tmp_path, records, as_lines):
    write_dataset(tmp_path, [record()])
    path = tmp_path / ("fuzzed.jsonl" if as_lines else "fuzzed.json")
    lines = [json.dumps(one) for one in records]
    path.write_text("\n".join(lines) if as_lines else f"[{','.join(lines)}]")
    report = scan_annotations(path, tmp_path)
    report.summary().encode()
    if any(problem.whole_file for problem in report.problems):
        assert not records or len(report.problems) == 1
        return
    assert len(report.samples) + report.dropped == len(records)
    pairs = [(one.get("id"), one.get("output")) for one in records if isinstance(one, dict)]
    assert all((sample.id, sample.output) in pairs for sample in report.samples)


@given(samples=SAMPLES, ending=st.sampled_from(["\n", "\r\n", "\n\n"]), mark=st.booleans())
@fuzz_settings(50)
def test_what_is_written_is_read_the_same_as_a_list_and_as_lines(tmp_path, samples, ending, mark):
    write_dataset(tmp_path, [record()])
    write_annotations(tmp_path / "list.json", samples)
    text = ending.join(json.dumps(to_record(sample)) for sample in samples)
    (tmp_path / "lines.json").write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    wanted = [to_record(sample) for sample in samples]
    for name in ("list.json", "lines.json"):
        assert [to_record(sample) for sample in read_annotations(tmp_path / name, tmp_path)] == wanted


@given(content=st.binary(max_size=60) | damaged(TEXT) | damaged(LINES), name=st.sampled_from(["a.json", "a.jsonl"]))
@fuzz_settings(100)
def test_any_bytes_are_samples_or_our_error(tmp_path, content, name):
    write_dataset(tmp_path, [record()])
    path = tmp_path / name
    path.write_bytes(content)
    samples, message = [], ""
    with limited_memory(200):
        try:
            samples = read_annotations(path, tmp_path)
        except SamDataError as error:
            message = str(error)
    assert samples or str(path) in message
    assert all(sample.images and sample.output.strip() for sample in samples)
