"""Whatever stands in the files of a release, nothing but our errors and reports comes out of its reader."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.release_parts import write_image
from lavis_sam.datasets.exchange import IMPORTS, import_dataset
from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.errors import SamError

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Words that mean something to a reader, among words that mean nothing.
WORDS = st.sampled_from(
    ["a", "a.png", "0", "1", "train", "", " ", "..", "../a.png", "/etc/hostname", "\0", "\ud800", "é"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=2), max_leaves=5
)


def record(*keys, **known):
    """A dictionary with some of the keys; values that the release would have there come more often."""
    return st.fixed_dictionaries(
        {}, optional={**dict.fromkeys(keys, VALUES), **{k: v | VALUES for k, v in known.items()}}
    )


TEXTS = st.lists(WORDS, max_size=5)
CAPTION = record("text", "hash", type=st.just("caption"))
PHOTOGRAPH = record(
    "original_text",
    "photo_flickr_id",
    "album_id",
    worker_arranged_photo_order=st.integers(0, 5),
    photo_order_in_story=st.integers(0, 5),
    story_id=WORDS,
)
RECORDS = {
    "conceptual": record("id", "caption", "img_list", targets=TEXTS),
    "aesop": record("storyid", "split", text=TEXTS, story=TEXTS, image_path=TEXTS),
    "dm800k": record("_id", "split", parsed_section=st.lists(CAPTION, max_size=3)),
    "spot_the_diff": record("img_id", sentences=TEXTS),
    "iedit": record("img0", "img1", "uid", sents=TEXTS),
    "mmlink": record("id", "instruction", "output", "references", img_list=TEXTS),
    "mantis": record(
        "id",
        "references",
        "metadata",
        images=TEXTS,
        conversation=st.lists(
            record(role=st.sampled_from(["user", "gpt", "system"]), content=WORDS | st.just("<image>x"))
        ),
    ),
}


@pytest.fixture
def folder(tmp_path):
    write_image(tmp_path / "a.png")
    (tmp_path / "images").mkdir()
    return tmp_path


def assert_sound(report):
    assert len(report.splits) in (0, len(report.samples))
    for sample in report.samples:
        assert sample.images
        assert sample.output.strip()
        assert all(reference.strip() for reference in sample.references)
        json.dumps([sample.id, sample.instruction, sample.output, sample.images], ensure_ascii=False).encode()
    assert report.samples or report.problems
    report.summary().encode()


@QUIET
@given(data=st.data())
@pytest.mark.parametrize("name", sorted(RECORDS))
def test_lists_of_records(folder, name, data):
    records = data.draw(st.lists(RECORDS[name] | VALUES, max_size=4))
    path = folder / data.draw(st.sampled_from(["list.json", "train.jsonl"]))
    text = json.dumps(records) if path.suffix == ".json" else "\n".join(map(json.dumps, records))
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    if name in IMPORTS:
        assert_sound(import_dataset(name, path, folder))
    else:
        assert_sound(read_dataset(name, path, folder, split=data.draw(st.sampled_from([None, "train", "val"]))))


@QUIET
@given(annotations=st.lists(st.lists(PHOTOGRAPH, max_size=2) | PHOTOGRAPH | VALUES, max_size=6), bare=st.booleans())
def test_vist(folder, annotations, bare):
    path = folder / "train.story-in-sequence.json"
    path.write_text(json.dumps(annotations if bare else {"annotations": annotations}))
    assert_sound(read_dataset("vist", path, folder))


DEFAULTS = st.sampled_from(["CLEVR_default_000000.png", "CLEVR_default_7.png", "CLEVR_semantic_000000.png", "x"])


@QUIET
@given(
    captions=st.dictionaries(DEFAULTS, TEXTS | VALUES) | VALUES,
    splits=st.dictionaries(WORDS, st.lists(st.integers() | WORDS, max_size=4) | VALUES) | VALUES,
    split=st.sampled_from([None, "train"]),
)
def test_clevr_change(folder, captions, splits, split):
    for name, document in (("change_captions", captions), ("no_change_captions", captions), ("splits", splits)):
        (folder / f"{name}.json").write_text(json.dumps(document))
    assert_sound(read_dataset("clevr_change", folder, folder, split=split))


@QUIET
@given(
    documents=st.fixed_dictionaries(
        {},
        optional={
            "metadata": record(task_instruction=TEXTS) | VALUES,
            "data": st.lists(
                record(
                    "sample_id",
                    "response",
                    task_instruction_id=st.integers(-1, 2),
                    task_instance=record("context", "choice_list", images_path=TEXTS),
                )
            )
            | VALUES,
        },
    )
    | VALUES
)
def test_demon(folder, documents):
    path = folder / "core.json"
    path.write_text(json.dumps(documents))
    assert_sound(import_dataset("demon", path, folder))


CELLS = st.sampled_from(
    ["https://x.org/observations/1", "https://x.org/photos/5/large.jpg?1", "http://[", "train", '"', "a.png", ""]
)


@QUIET
@given(
    rows=st.lists(st.lists(CELLS | st.text(max_size=4), min_size=9, max_size=12), max_size=4),
    tail=st.binary(max_size=8),
)
def test_birds_to_words(folder, rows, tail):
    from lavis_sam.datasets.formats.birds_to_words import COLUMNS

    table = folder / "birds-to-words-v1.0.tsv"
    text = "\n".join("\t".join(cells) for cells in [COLUMNS, *rows])
    table.write_bytes(text.encode("utf-8", "surrogatepass") + tail)
    assert_sound(read_dataset("birds_to_words", table, folder))


@QUIET
@given(content=st.binary(max_size=60) | st.sampled_from([b"[" * 10_000, b"{" * 10_000, b"1" * 5000, b"[NaN]", b"null"]))
@pytest.mark.parametrize("name", [*sorted(RECORDS), "vist", "birds_to_words", "demon", "clevr_change"])
def test_bytes(folder, name, content):
    path = folder / ("change_captions.json" if name == "clevr_change" else "train.json")
    path.write_bytes(content)
    try:
        report = import_dataset(name, path, folder) if name in IMPORTS else read_dataset(name, path, folder)
    except SamError:
        return
    assert_sound(report)
