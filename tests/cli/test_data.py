"""`lavis-sam data convert | validate | import | export`, as a user types them."""

import gzip
import json
import shutil
import tarfile
from collections import Counter
from functools import partial

import pytest

from helpers.dummies import record, write_dataset
from helpers.release_parts import write_images
from helpers.releases import MINIATURES
from helpers.shards import offset_of, sharded
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.sample import to_record


@pytest.fixture
def run(run):
    """`lavis-sam data …`: exit code, stdout, stderr."""
    return partial(run, "data")


@pytest.fixture(params=list(MINIATURES))
def miniature(request, tmp_path):
    return MINIATURES[request.param](tmp_path / "release")


def convert(run, miniature, out, *more, annotations=None):
    annotations = annotations or miniature.annotations
    return run(
        "convert", miniature.name, "--annotations", annotations, "--images", miniature.images, "--out", out, *more
    )


def test_convert_and_validate(run, miniature, tmp_path):
    out = tmp_path / "out"
    code, printed, _ = convert(run, miniature, out)
    assert code == 0
    for kind in miniature.problems:
        assert kind in printed
    records = json.loads((out / "annotations.json").read_text(encoding="utf-8"))
    expected = [sample for samples in miniature.samples.values() for sample in samples]
    assert len(records) == len(expected)
    found = Counter((one["output"], tuple(one["references"])) for one in records)
    assert found == Counter((one.output, one.references) for one in expected)
    prefix = "" if miniature.name == "mmlink" else "images/"
    assert Counter(tuple(one["img_list"]) for one in records) == Counter(
        tuple(f"{prefix}{image}" for image in one.images) for one in expected
    )
    # The folder stands alone: without the release, strictly, it is whole.
    shutil.rmtree(tmp_path / "release")
    code, printed, _ = run("validate", out, "--strict", "--json")
    assert code == 0
    report = json.loads(printed)
    assert (report["valid"], report["samples"], report["dropped"]) == (True, len(expected), 0)


def test_convert_split_by_split(run, miniature, tmp_path):
    for split, storage in miniature.storages.items():
        out = tmp_path / split
        code, *_ = convert(run, miniature, out, "--split", split, annotations=storage)
        assert code == 0
        samples = read_annotations(out / "annotations.json", out)
        assert [str(sample.id) for sample in samples] == [sample.id for sample in miniature.samples[split]]


def test_validate_a_release(run, miniature):
    code, printed, _ = run(
        "validate", miniature.annotations, "--format", miniature.name, "--images", miniature.images, "--json"
    )
    assert code == 0
    report = json.loads(printed)
    assert {row["kind"]: row["count"] for row in report["problems"]} == miniature.problems
    assert report["samples"] == sum(map(len, miniature.samples.values()))


def test_strict_conversion_writes_nothing(run, tmp_path):
    miniature = MINIATURES["vist"](tmp_path / "release")
    code, printed, _ = convert(run, miniature, tmp_path / "out", "--strict")
    assert code == 1
    assert "unreadable image" in printed
    assert not (tmp_path / "out").exists()
    code, printed, _ = convert(run, miniature, tmp_path / "out", "--strict", "--json")
    assert (code, json.loads(printed)["valid"]) == (1, False)


def test_splits_are_kept_apart(run, tmp_path):
    out = tmp_path / "out"
    code, printed, _ = convert(run, MINIATURES["spot_the_diff"](tmp_path / "release"), out)
    assert code == 0
    assert "annotations.val.json: 1 sample(s)" in printed
    ids = {name: [one["id"] for one in json.loads((out / f"annotations{name}.json").read_text())]
           for name in ("", ".train", ".val", ".test")}  # fmt: skip
    # 17 is in two splits.
    assert ids == {
        "": ["256", "train/17", "val/17", "77"],
        ".train": ["256", "train/17"],
        ".val": ["val/17"],
        ".test": ["77"],
    }


def test_into_the_release_itself_twice(run, tmp_path):
    """Images stay where they are, and the second time the release is read again, not the first time's result."""
    miniature = MINIATURES["clevr_change"](tmp_path)
    for _ in range(2):
        code, printed, _ = convert(run, miniature, tmp_path)
        assert code == 0
        assert "missing image" in printed
        first = read_annotations(tmp_path / "annotations.json", tmp_path)[0]
        assert first.images == ("images/CLEVR_default_000000.png", "sc_images/CLEVR_semantic_000000.png")


def test_options_and_prompt_set(run, tmp_path):
    miniature = MINIATURES["nico_animal"](tmp_path / "release")
    code, *_ = convert(run, miniature, tmp_path / "out", "--option", "group_size=2", "--prompt-set", "published")
    assert code == 0
    records = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert len(records) > 1
    assert records[0]["instruction"].startswith("Sum up the common factor in these two ")


def test_everything_wrong_is_in_one_table(run, tmp_path):
    bad = [record(k, output="") for k in range(5)] + [record(0), record("x", img_list=["../y.png"])]
    path = write_dataset(tmp_path, [record("good")])
    path.write_text(json.dumps([record("good"), *bad]))
    code, printed, _ = run("validate", tmp_path)
    assert code == 0
    assert "1 whole sample(s); 7 dropped (5 x empty output, 1 x duplicate id, 1 x path leaves the root)." in printed
    rows = [line.split() for line in printed.splitlines() if line.startswith("  empty output")]
    assert rows[0][:4] == ["empty", "output", "5", "5"]
    assert f"{path}[1]" in printed.replace("\n", "").replace(" ", "")
    code, printed, _ = run("validate", tmp_path, "--strict")
    assert code == 1


def test_the_clean_part_can_be_written(run, tmp_path):
    write_dataset(tmp_path, [record("good"), record("bad", output=" ")])
    code, printed, _ = run("validate", tmp_path, "--out", tmp_path / "clean.json", "--json")
    assert code == 0
    assert json.loads(printed)["files"] == {str(tmp_path / "clean.json"): 1}
    assert [sample.id for sample in read_annotations(tmp_path / "clean.json", tmp_path)] == ["good"]


def test_nothing_left_fails_without_strict(run, tmp_path):
    write_dataset(tmp_path, [record("bad", output=" ")])
    assert run("validate", tmp_path)[0] == 1
    (tmp_path / "annotations.json").write_text("[{")
    code, printed, _ = run("validate", tmp_path, "--json")
    assert code == 1
    assert json.loads(printed)["problems"][0]["kind"] == "not JSON"


def test_validate_decodes_unless_quick(run, tmp_path):
    path = write_dataset(tmp_path, [record("a"), record("b", img_list=["two.png"])])
    content = bytearray((tmp_path / "one.png").read_bytes())
    content[content.index(b"IDAT") + 6] ^= 255
    (tmp_path / "one.png").write_bytes(content)
    assert json.loads(run("validate", path, "--quick", "--json")[1])["dropped"] == 0
    report = json.loads(run("validate", path, "--json")[1])
    assert [row["kind"] for row in report["problems"]] == ["unreadable image"]


@pytest.mark.parametrize("cut", ["in an image", "in an image's padding", "between samples"])
@pytest.mark.parametrize("options", [(), ("--quick",)])
def test_validate_fails_strictly_on_a_shard_that_was_cut_off(run, tmp_path, cut, options):
    """The shard stands alone, without a manifest that would say how many samples it had."""
    _, shards = sharded(tmp_path, shard_bytes=2**20)
    data, shard = (shards / "000000.tar").read_bytes(), tmp_path / "cut.tar"
    with tarfile.open(shards / "000000.tar") as tar:
        image = next(member for member in tar if member.name == "000000005.1.png")
    assert image.size % 512
    end = image.offset_data + image.size
    padded = image.offset_data + -(-image.size // 512) * 512
    places = {"in an image": end - 9, "in an image's padding": (end + padded) // 2}
    shard.write_bytes(data[: places.get(cut, offset_of(shards / "000000.tar", "000000006.json") - 512)])
    code, printed, _ = run("validate", shard, "--strict", "--json", *options)
    report = json.loads(printed)
    assert (code, report["valid"]) == (1, False)
    assert report["samples"] >= 5
    assert any(
        "cut.tar" in example and "cut off" in example for row in report["problems"] for example in row["examples"]
    )
    assert run("validate", shard, *options)[0] == 0


@pytest.mark.parametrize("command", [("validate", "--strict"), ("validate",), ("stats",), ("preview",)])
@pytest.mark.parametrize("whole", [True, False])
def test_data_commands_refuse_compressed_shards_and_say_how_to_unpack_them(run, tmp_path, command, whole):
    _, shards = sharded(tmp_path, shard_bytes=2**20)
    packed = gzip.compress((shards / "000000.tar").read_bytes())
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "x.tar.gz").write_bytes(packed if whole else packed[: len(packed) // 2])
    for path in (tmp_path / "packed", tmp_path / "packed" / "x.tar.gz"):
        code, printed, err = run(command[0], path, *command[1:])
        assert (code, printed) == (2, "")
        assert "x.tar.gz: found a compressed tar file" in err
        assert "Unpack it (`gunzip " in err


def test_images_may_be_elsewhere(run, tmp_path):
    (tmp_path / "pictures").mkdir()
    path = write_dataset(tmp_path / "pictures", [record()]).rename(tmp_path / "annotations.json")
    assert run("validate", path)[0] == 1
    assert run("validate", path, "--images", tmp_path / "pictures")[0] == 0


@pytest.mark.parametrize("name", ["mantis", "m4_instruct"])
def test_round_trip(run, tmp_path, name):
    data = tmp_path / "data"
    data.mkdir()
    first = record(1, instruction="{image#1}A:{image#2}B:", references=["One.", "Two."])
    write_dataset(data, [first, record("b", img_list=["sub/x.png"])])
    before = read_annotations(data / "annotations.json", data)
    code, printed, _ = run("export", name, data, "--out", tmp_path / "exported.json")
    assert (code, "2 sample(s)" in printed) == (0, True)
    code, *_ = run("import", name, "--annotations", tmp_path / "exported.json", "--images", data, "--out", data)
    assert code == 0
    after = read_annotations(data / "annotations.json", data)
    assert [to_record(sample) for sample in after] == [to_record(sample) for sample in before]


def test_import_and_its_problems(run, tmp_path):
    write_images(tmp_path / "images", "a.jpg")
    turns = [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "A cat."}]
    records = [{"id": k, "images": ["a.jpg", "b.jpg"][k : k + 1], "conversation": turns} for k in range(2)]
    (tmp_path / "mantis.json").write_text(json.dumps(records))
    arguments = ["import", "mantis", "--annotations", tmp_path / "mantis.json", "--images", tmp_path / "images",
                 "--out", tmp_path / "out"]  # fmt: skip
    assert run(*arguments, "--strict")[0] == 1
    code, printed, _ = run(*arguments)
    assert code == 0
    assert "1 dropped (1 x missing image)" in printed
    assert read_annotations(tmp_path / "out" / "annotations.json", tmp_path / "out")[0].images == ("images/a.jpg",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("convert", "vits", "--annotations", "a", "--images", "i", "--out", "o"), "Did you mean 'vist'"),
        (("convert", "vist", "--annotations", "nowhere", "--images", ".", "--out", "o"), "--annotations"),
        (("convert", "vist", "--annotations", ".", "--images", "nowhere", "--out", "o"), "--images"),
        (("convert", "vist", "--annotations", ".", "--images", ".", "--out", "o"), "train.story-in-sequence.json"),
        (("convert", "vist", "--annotations", ".", "--images", ".", "--out", "o", "--option", "x"), "KEY=VALUE"),
        (
            (
                *("convert", "nico_animal", "--annotations", ".", "--images", ".", "--out", "o"),
                *("--option", f"group_size={'9' * 5000}"),
            ),
            "group_size",
        ),
        (("convert", "vist", "--annotations", ".", "--images", ".", "--out", "o", "--split", "dev"), "split 'dev'"),
        (("validate", "nowhere"), "annotations.json"),
        (("export", "demon", "nowhere", "--out", "o"), "annotations.json"),
        (("import", "mantiss", "--annotations", "a", "--images", "i", "--out", "o"), "Did you mean 'mantis'"),
    ],
)
def test_wrong_input_is_one_clear_error(run, tmp_path, monkeypatch, arguments, words):
    monkeypatch.delenv("LAVIS_SAM_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    code, printed, error = run(*arguments)
    assert (code, printed) == (2, "")
    assert error.startswith("lavis-sam: error: ")
    assert words in error
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("command", ["convert", "validate", "import", "export"])
def test_help_has_examples(run, command):
    code, printed, _ = run(command, "--help")
    assert code == 0
    assert f"lavis-sam data {command} " in printed


def test_export_for_lmms_eval(run, tmp_path):
    data = tmp_path / "pairs"
    data.mkdir()
    write_dataset(data, [record("whole"), record("empty", output="")])
    code, printed, _ = run("export", "lmms-eval", data, "--out", tmp_path / "tasks")
    assert code == 0
    assert "pairs.yaml: 1 sample(s)" in printed
    (document,) = (tmp_path / "tasks" / "pairs.jsonl").read_text().splitlines()
    assert json.loads(document)["sample_id"] == "whole"
    code, *_ = run("export", "lmms-eval", data, "--out", tmp_path / "strict", "--name", "mine", "--strict")
    assert code == 1
    assert not (tmp_path / "strict").exists()


def test_export_for_vlmevalkit(run, tmp_path):
    data = tmp_path / "pairs"
    data.mkdir()
    write_dataset(data, [record("whole"), record("empty", output="")])
    code, printed, _ = run("export", "vlmevalkit", data, "--out", tmp_path / "lmu")
    assert code == 0
    assert "pairs.tsv: 1 sample(s)" in printed
    code, _, complained = run("export", "vlmevalkit", data, "--out", tmp_path / "lmu", "--name", "a/b")
    assert code == 2
    assert "--name: found 'a/b'" in complained
    assert [path.name for path in (tmp_path / "lmu").iterdir()] == ["pairs.tsv"]
