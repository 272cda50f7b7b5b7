"""`lavis-sam data collect | shards`, as a user types them; and what all data commands share."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest
from PIL import Image

from helpers.dummies import record
from helpers.shards import contents, offset_of, overwrite, write_images
from lavis_sam.datasets.annotations import read_annotations, write_annotations
from lavis_sam.datasets.folder import open_folder


@pytest.fixture
def run(run):
    """`lavis-sam data …`: exit code, stdout, stderr."""
    return partial(run, "data")


@pytest.fixture
def folder(tmp_path):
    samples = write_images(tmp_path / "d")
    write_annotations(tmp_path / "d" / "annotations.json", samples)
    return tmp_path / "d"


def test_to_shards_and_back(run, folder, tmp_path):
    code, printed, _ = run("shards", folder, tmp_path / "s", "--megabytes", 1)
    assert code == 0
    assert "10 sample(s), 19 image(s) in 1 shard(s)" in printed
    code, printed, _ = run("shards", tmp_path / "s", tmp_path / "again", "--unpack")
    assert code == 0
    assert "10 sample(s), 19 image(s)" in printed
    assert (tmp_path / "again" / "annotations.json").read_bytes() == (folder / "annotations.json").read_bytes()
    for sample in read_annotations(folder / "annotations.json", folder):
        for name in sample.images:
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_json_is_all_that_is_printed(run, folder, tmp_path):
    records = json.loads((folder / "annotations.json").read_text())
    (folder / "annotations.json").write_text(json.dumps([*records, record("bad", img_list=["gone.png"])]))
    code, printed, _ = run("shards", folder, tmp_path / "s", "--json")
    assert code == 0
    report = json.loads(printed)
    assert (report["samples"], report["pictures"], report["shards"]) == (10, 19, 1)
    assert report["dropped"] == {"missing image": 1}
    assert report["bytes"] == sum(path.stat().st_size for path in (tmp_path / "s").glob("*.tar"))
    assert run("shards", folder, tmp_path / "strict", "--strict")[0] == 2
    assert not (tmp_path / "strict").exists()
    assert "dropped 1 sample(s): missing image" in run("shards", folder, tmp_path / "s", "--overwrite")[1]


def test_errors_are_one_clear_line(run, folder, tmp_path):
    assert run("shards", folder, tmp_path / "s")[0] == 0
    for arguments, complaint in (
        (("shards", folder, tmp_path / "s"), "wanted a new or empty folder, or --overwrite"),
        (("shards", tmp_path / "gone", tmp_path / "x"), "found none of annotations.json"),
        (("shards", tmp_path / "s", tmp_path / "x", "--unpack", "--overwrite"), "--unpack: takes neither"),
        (("stats", tmp_path), "found none of annotations.json"),
        (("preview", tmp_path / "gone"), "found none of annotations.json"),
        (("collect", tmp_path / "gone", "--instruction", "x"), "there is no such folder"),
    ):
        code, printed, errors = run(*arguments)
        assert (code, printed) == (2, "")
        assert complaint in errors


def test_damage_is_told_when_unpacking(run, folder, tmp_path):
    run("shards", folder, tmp_path / "s")
    shard = tmp_path / "s" / "000000.tar"
    overwrite(shard, offset_of(shard, "000000003.1.png") + 30, b"?")
    code, printed, _ = run("shards", tmp_path / "s", tmp_path / "again", "--unpack")
    assert code == 0
    assert "dropped 1 sample(s): damaged member" in printed
    assert "9 sample(s)" in printed
    assert run("shards", tmp_path / "s", tmp_path / "strict", "--unpack", "--strict")[0] == 2


def test_validate(run, folder, tmp_path):
    run("shards", folder, tmp_path / "s")
    code, printed, _ = run("validate", tmp_path / "s", "--strict", "--json")
    assert code == 0
    assert json.loads(printed) == {
        "valid": True,
        "samples": 10,
        "dropped": 0,
        "problems": [],
        "repairs": {},
        "files": {},
    }
    shard = tmp_path / "s" / "000000.tar"
    overwrite(shard, offset_of(shard, "000000003.1.png") + 30, b"?")
    assert run("validate", tmp_path / "s", "--quick", "--strict")[0] == 0
    code, printed, _ = run("validate", tmp_path / "s")
    assert code == 0
    assert "9 whole sample(s); 1 dropped (1 x damaged member); 1 x damaged shard." in printed
    assert "its SHA-256 is not the manifest's" in " ".join(printed.split())
    assert run("validate", shard, "--strict")[0] == 1
    code, _, errors = run("validate", tmp_path / "s", "--out", tmp_path / "clean.json")
    assert (code, "shards hold their images" in errors) == (2, True)


def test_collect(run, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    (tmp_path / "one" / "caption.txt").write_text("A square.")
    code, printed, _ = run("collect", tmp_path, "--instruction", "What?")
    assert code == 0
    assert "dropped 1 sample(s): no text, such as" in printed
    (sample,) = open_folder(tmp_path).annotation
    assert contents([sample]) == [("one", ("one/a.png",), "What?", "A square.", ("A square.",))]
    before = (tmp_path / "annotations.json").read_bytes()
    assert run("collect", tmp_path, "--instruction", "Else?", "--strict")[0] == 2
    assert (tmp_path / "annotations.json").read_bytes() == before
    assert json.loads(run("collect", tmp_path, "--instruction", "What?", "--json")[1])["samples"] == 1


def test_help_loads_no_heavy_library():
    code = (
        "import sys\n"
        "from lavis_sam.cli import main\n"
        "for name in ('collect', 'shards', 'stats', 'preview'):\n"
        "    sys.argv = ['lavis-sam', 'data', name, '--help']\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "heavy = {'torch', 'lavis', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    environment = {"PATH": os.environ["PATH"]}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("lavis-sam data shards data/mmlink") >= 1
