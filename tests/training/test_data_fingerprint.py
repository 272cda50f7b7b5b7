"""The hash of training samples: what they say, in order, and nothing of where they are."""

import os

import pytest

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.training.data_fingerprint import dataset_fingerprint, stream_fingerprint


class Annotated:
    def __init__(self, annotation):
        self.annotation = annotation


def sample(**changes):
    fields = {"id": 1, "images": ("a.png",), "instruction": "What?", "output": "It.", "references": ("It.",)}
    return MultiImageSample(**fields | {"source": "file.json: record 1"} | changes)


def test_data_fingerprint_of_samples_is_their_content_and_order():
    plain = dataset_fingerprint(Annotated([sample(), sample(id=2)]))
    assert plain == dataset_fingerprint(Annotated([sample(source="elsewhere"), sample(id=2)]))
    others = [
        [sample(id=2), sample()],
        [sample(), sample(id=2, output="That.")],
        [sample(), sample(id=2, images=("b.png",))],
        [sample()],
    ]
    assert len({plain, *(dataset_fingerprint(Annotated(samples)) for samples in others)}) == 5


@pytest.mark.parametrize("annotation", [None, [object()], [{1, 2}], {"a": 1}])
def test_data_fingerprint_is_none_where_nothing_is_said(annotation):
    assert dataset_fingerprint(Annotated(annotation)) is None
    assert dataset_fingerprint(object()) is None


def test_data_fingerprint_of_lavis_records():
    first, second = [{"caption": "a", "image": "b"}], [{"image": "b", "caption": "c"}]
    assert dataset_fingerprint(Annotated(first)) == dataset_fingerprint(Annotated([dict(reversed(first[0].items()))]))
    assert dataset_fingerprint(Annotated(first)) != dataset_fingerprint(Annotated(second))


def test_data_fingerprint_of_a_stream_follows_its_shards(tmp_path):
    for name in ("here", "moved"):
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.tar").write_bytes(b"x" * 10240)

    def found(name):
        return stream_fingerprint([str(tmp_path / name / f"{number}.tar") for number in range(2)])

    assert found("here") == found("moved")  # a folder may move
    (tmp_path / "moved" / "1.tar").write_bytes(b"x" * 10239 + b"y")
    assert found("here") != found("moved")
    os.remove(tmp_path / "moved" / "1.tar")
    assert found("here") != found("moved")


def test_data_fingerprint_of_remote_shards_is_without_signatures():
    assert stream_fingerprint(["https://a/b.tar?sig=1"]) == stream_fingerprint(["https://a/b.tar?sig=2"])
    assert stream_fingerprint(["https://a/b.tar"]) != stream_fingerprint(["https://a/c.tar"])
    assert stream_fingerprint(["pipe:cat a?1"]) != stream_fingerprint(["pipe:cat a?2"])
