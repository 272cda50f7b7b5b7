"""What is damaged is passed over and counted, everything else is found."""

import json
import shutil
import tarfile

import pytest

from helpers.dummies import record
from helpers.shards import contents, noise_image, offset_of, opened, overwrite, sharded, tar_of
from lavis_sam.datasets.shards import DamagedSampleError, index_shards, scan_shards
from lavis_sam.datasets.shards.images import ShardImages
from lavis_sam.datasets.shards.layout import MANIFEST
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.dataset_writer import write_shards as write_synthesised


@pytest.fixture
def shards(tmp_path):
    return sharded(tmp_path)


def problems(path, **options):
    return [
        (problem.kind, problem.place.rpartition(":")[2]) for problem in index_shards([path], **options).report.problems
    ]


def test_every_sample_is_found(shards):
    samples, path = shards
    index = index_shards([path])
    assert len(index.files) > 2
    assert contents(index.report.samples) == contents(samples)
    assert not index.report.problems
    assert [place.key for place in index.places] == [f"{i:09d}" for i in range(len(samples))]


def test_tar_files_in_any_order(shards):
    samples, path = shards
    first, *_, last = sorted(path.glob("*.tar"))
    index = index_shards([last, first])
    numbers = [int(place.key) for place in index.places]
    assert contents(index.report.samples) == contents([samples[number] for number in numbers])
    assert numbers == sorted(numbers, key=lambda number: (number < numbers[0], number))
    assert numbers[-1] < numbers[0]


def test_ids_are_unique_over_all_shards(shards, tmp_path):
    _, path = shards
    report = index_shards([path, shutil.copytree(path, tmp_path / "copy")]).report
    assert len(report.samples) == 10
    assert {problem.kind for problem in report.problems} == {"duplicate id"}
    assert "id 's/0' was used before at" in report.problems[0].message


def test_shards_of_the_synthesis(tmp_path):
    """`lavis-sam synthesize` puts shards below its folder, listed in its own manifest."""
    samples, _ = sharded(tmp_path)
    root = tmp_path / "pictures"
    records = [
        {"id": f"{i:06d}", "img_list": list(s.images), "instruction": s.instruction, "output": s.output}
        for i, s in enumerate(samples)
    ]
    (root / MANIFEST).write_text(json.dumps({"shards": write_synthesised(root, records, 4)}))
    dataset = opened(root)
    assert [sample.output for sample in dataset.annotation] == [sample.output for sample in samples]
    assert ShardImages(dataset.store.index).contents(4) == [(root / name).read_bytes() for name in samples[4].images]


def harmed(path, key, member, change):
    """Change the shard that holds a member."""
    for shard in sorted(path.glob("*.tar")):
        with tarfile.open(shard) as tar:
            names = [name for name in tar.getnames() if name.startswith(f"{key}.{member}")]
        if names:
            change(shard, offset_of(shard, names[0]))
            return
    raise AssertionError(f"no member {key}.{member}")


HARM = {
    "record's header": ("json", lambda shard, at: overwrite(shard, at - 500, b"\xff\xff")),
    "image's header": ("1", lambda shard, at: overwrite(shard, at - 400, b"\xff\xff")),
    "record's bytes": ("json", lambda shard, at: overwrite(shard, at + 20, b"\xff\xff")),
    "record's syntax": ("json", lambda shard, at: overwrite(shard, at, b"[[[[")),
    "a letter of the record": ("json", lambda shard, at: overwrite(shard, at + 60, b"~")),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("number", [0, 4, 9])
def test_one_damage_costs_one_sample(shards, harm, number):
    samples, path = shards
    harmed(path, f"{number:09d}", *HARM[harm])
    index = index_shards([path])
    assert contents(index.report.samples) == contents(samples[:number] + samples[number + 1 :])
    assert [problem.kind for problem in index.report.problems] == ["damaged member"]
    assert f"{number:09d}" in index.report.problems[0].place
    assert index.report.dropped == 1


def test_a_damaged_image_is_noticed_when_it_is_read(shards):
    _, path = shards
    harmed(path, "000000002", "2", lambda shard, at: overwrite(shard, at + 100, b"\0\1\2"))
    dataset = opened(path)
    assert len(dataset) == 10
    with pytest.raises(DamagedSampleError, match=r"sample 's/2' .*\.tar:000000002.*image 2's checksum"):
        dataset[2]
    assert dataset.images(1)


def test_a_shard_that_was_cut_off(shards):
    samples, path = shards
    last = sorted(path.glob("*.tar"))[-1]
    last.write_bytes(last.read_bytes()[: offset_of(last, "000000009.1.png") + 10])
    index = index_shards([path])
    assert contents(index.report.samples) == contents(samples[:9])
    assert "found 0 of 1 images" in index.report.problems[0].message
    assert "cut off" in index.report.problems[0].message
    assert index.report.problems[1].kind == "damaged shard"
    assert index.report.problems[1].message.startswith("found ")


def test_samples_that_vanished_without_a_trace_are_noticed_by_the_manifest(shards):
    _, path = shards
    first = sorted(path.glob("*.tar"))[0]
    first.write_bytes(first.read_bytes()[: offset_of(first, "000000001.json") - 512] + bytes(1024))
    messages = [problem.message for problem in index_shards([path]).report.problems]
    assert any("samples" in message and "found 1 of" in message for message in messages)


def test_full_compares_the_checksum_of_the_shard(shards):
    _, path = shards
    harmed(path, "000000003", "1", lambda shard, at: overwrite(shard, at - 512 + 270, b"1"))  # the owner's name
    assert problems(path) == [("damaged member", "000000003")]
    harmed(path, "000000004", "1", lambda shard, at: overwrite(shard, at + 70, b"1"))
    assert [kind for kind, _ in problems(path)] == ["damaged member"]
    assert [kind for kind, _ in problems(path, check="full")].count("damaged shard") >= 1


def test_scanning_finds_what_reading_would(shards):
    samples, path = shards
    assert scan_shards([path], check="full").as_dict() == {"samples": 10, "dropped": 0, "problems": [], "repairs": {}}
    harmed(path, "000000002", "2", lambda shard, at: overwrite(shard, at + 100, b"\0\1\2"))
    harmed(path, "000000007", *HARM["record's bytes"])
    quick, full = (scan_shards([path], check=check) for check in ("quick", "full"))
    assert contents(quick.samples) == contents(samples[:7] + samples[8:])
    assert contents(full.samples) == contents(samples[:2] + samples[3:7] + samples[8:])
    assert any("image 2's checksum" in problem.message for problem in full.problems)
    assert {row.kind for row in full.rows()} == {"damaged member", "damaged shard"}


def test_scanning_decodes_what_no_checksum_protects(tmp_path):
    """As in shards of another program; more than enough of them to be looked at by several threads."""
    whole = (tmp_path / "whole.png", tmp_path / "cut.png")
    noise_image(whole[0], 1)
    whole[1].write_bytes(whole[0].read_bytes()[:-300])
    members = []
    for number in range(80):
        members += [
            (f"{number:03d}.json", json.dumps(record(number, img_list=["x.png"])).encode()),
            (f"{number:03d}.1.png", whole[number % 8 == 3].read_bytes()),
        ]
    path = tar_of(tmp_path / "t.tar", members)
    assert len(scan_shards([path], check="quick").samples) == 80
    report = scan_shards([path], check="full")
    assert [sample.id for sample in report.samples] == [number for number in range(80) if number % 8 != 3]
    assert [problem.kind for problem in report.problems] == ["damaged member"] * 10


def test_strict_refuses_damage(shards):
    _, path = shards
    harmed(path, "000000003", *HARM["record's bytes"])
    with pytest.raises(SamDataError, match=r"(?s)1 problem\(s\) in shards .*1 x damaged member"):
        opened(path, strict=True)
    assert len(opened(path)) == 9


def test_nothing_whole_is_an_error(tmp_path):
    path = tar_of(tmp_path / "t.tar", [("a.json", b'{"img_list": ["x.jpg"]}'), ("a.1.jpg", b"")])
    with pytest.raises(SamDataError, match="wrong id"):
        opened(path)


RECORD = {"id": 1, "img_list": ["x.png"], "instruction": "What?", "output": "That."}


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([("a.1.png", b"1")], "its record is missing"),
        ([("a.json", RECORD)], "found 0 of 1 images"),
        ([("a.json", RECORD), ("a.2.png", b"1")], "found 0 of 1 images"),
        ([("a.json", RECORD), ("a.1.png", b"1"), ("a.2.png", b"1")], "found 2 of 1 images"),
        ([("a.json", RECORD), ("a.1.png", b"1"), ("a.1.jpg", b"1")], "its image 1 is there twice"),
        ([("a.json", RECORD), ("a.json", RECORD), ("a.1.png", b"1")], "its record is there twice"),
        ([("a.json", {**RECORD, "img_list": ["/x.png"]}), ("a.1.png", b"1")], "wanted a relative path"),
        ([("a.json", {**RECORD, "img_list": ["../x.png"]}), ("a.1.png", b"1")], "wanted a relative path"),
        ([("a.json", {**RECORD, "output": " "}), ("a.1.png", b"1")], "output: found ' '"),
        ([("a.json", [1]), ("a.1.png", b"1")], "wanted an object"),
        ([("a.json", {**RECORD, "id": None}), ("a.1.png", b"1")], "id: found None"),
        ([("a.json", {**RECORD, "crc32": {"record": 7}}), ("a.1.png", b"1")], "its record's checksum"),
        ([("a.json", b"[" * 100_000), ("a.1.png", b"1")], "nested too deeply"),
        ([("a.json", b" " * (16 * 2**20 + 1)), ("a.1.png", b"1")], "wanted at most 16777216"),
    ],
)
def test_samples_that_are_none(tmp_path, members, complaint):
    members = [(name, json.dumps(data).encode() if not isinstance(data, bytes) else data) for name, data in members]
    whole = [("z.json", json.dumps({**RECORD, "id": 2}).encode()), ("z.1.png", b"1")]
    index = index_shards([tar_of(tmp_path / "t.tar", [*members, *whole])])
    assert [sample.id for sample in index.report.samples] == [2]
    (problem,) = index.report.problems
    assert complaint in problem.message


def test_members_that_are_no_sample_s_are_passed_over(tmp_path):
    members = [("README", b"hello"), (".hidden", b""), ("a.json", json.dumps(RECORD).encode()), ("a.txt", b"?")]
    index = index_shards([tar_of(tmp_path / "t.tar", [*members, ("a.1", b"1")])])
    assert [sample.id for sample in index.report.samples] == [1]
    assert not index.report.problems
