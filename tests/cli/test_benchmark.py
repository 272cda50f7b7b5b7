"""`lavis-sam benchmark`: what it says before anything is evaluated. (Evaluations: tests/integration.)"""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.benchmarks import EVALUATION_SETS, write_benchmarks
from lavis_sam.cli import app
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.locks import locked

CONFIGS = str(Path(__file__).resolve().parents[2] / "projects" / "sam" / "eval")
OWN_DATA = Path(__file__).resolve().parents[1] / "compatibility" / "fixtures" / "unified"


@pytest.fixture(autouse=True)
def _data_of_nobody(monkeypatch):
    monkeypatch.setenv("LAVIS_SAM_DATA", "/nobody")  # so that what the command sets is taken back


def call(*words):
    done = CliRunner().invoke(app, ["benchmark", "--configs", CONFIGS, "--model", "tiny", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_list_says_what_is_there_and_how_to_get_the_rest(tmp_path):
    write_benchmarks(tmp_path, "aesop")
    lines = call("--list", "--data", str(tmp_path)).splitlines()
    assert len(lines) == len(EVALUATION_SETS)
    assert "AESOP (storytelling): on the disk" in lines
    (vist,) = [line for line in lines if line.startswith("VIST")]
    assert f"not on the disk: {tmp_path}/vist/sis/test.story-in-sequence.json" in vist
    assert "visionandlanguage.net" in vist
    assert "Licence:" in vist


def test_list_as_json_prints_only_json(tmp_path):
    write_benchmarks(tmp_path, "dm800k")
    found = json.loads(call("--list", "--json", "--only", "storytelling", "--data", str(tmp_path)))["sets"]
    assert [(one["dataset"], bool(one["missing"])) for one in found] == [
        ("aesop", True),
        ("vist", True),
        ("dm800k", False),
    ]


def test_without_any_data_it_says_so_and_how_to_get_them(tmp_path):
    with pytest.raises(SamDataError, match=r"(?s)none of the chosen data sets.*--data.*AESOP is not on the disk"):
        call("--data", str(tmp_path), "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_in_use_is_refused(tmp_path):
    """The other one goes on; the model is not even loaded."""
    write_benchmarks(tmp_path, "aesop")
    out = tmp_path / "run"
    with locked(out, "x"):
        (out / "AESOP").mkdir()
        with pytest.raises(SamConfigurationError, match=r"run: another process is working .* another --out\."):
            call("--data", str(tmp_path), "--out", str(out))
        assert not list((out / "AESOP").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--out: missing"),
        (("--list", "--only", "vits"), "--dataset: unknown .* 'vits'"),
        (("--list", "--options", "run.decoding.num_beam=3"), "run.decoding: unknown key 'num_beam'"),
        (("--list", "--options", "model.model_type=vicuna7b"), "wanted it as --model"),
        (("--list", "--configs", "nowhere"), "nowhere: there is no such folder"),
    ],
)
def test_what_cannot_be_is_refused(words, message):
    with pytest.raises(SamConfigurationError, match=message):
        call(*words)


def test_the_model_chooses_the_size_of_the_images_unless_told_otherwise(tmp_path):
    from lavis_sam.cli.benchmark import _sets

    def size(*options):
        (one,) = _sets("tiny", None, None, None, ["vist"], Path(CONFIGS), list(options))
        assert one.config.model_cfg.model_type == "tiny"
        return one.config.datasets_cfg.vist.vis_processor.eval.image_size

    assert size() == 112
    assert size("datasets.vist.vis_processor.eval.image_size=56") == 56


@pytest.mark.parametrize(
    ("word", "name"), [("{}", "mine"), ("{}/annotations.test.json", "mine"), ("other={}", "other")]
)
def test_own_data_are_evaluated_by_their_folder(tmp_path, word, name):
    own = shutil.copytree(OWN_DATA, tmp_path / "mine")
    (own / "annotations.json").rename(own / "annotations.test.json")
    words = ("--dataset", word.format(own), "--options", "run.decoding.max_length=4", "run.num_workers=0")
    report = json.loads(call(*words, "--out", str(tmp_path / "run"), "--json"))
    ((found,), averages) = report["sets"], report["averages"]
    assert (found["dataset"], found["title"], found["status"]) == (name, name, "done")
    assert averages == {}
    assert report["is_trained"] is True
    manifest = json.loads((tmp_path / "run" / name / "manifest.json").read_text("utf-8"))
    assert manifest["dataset"] == name
    assert manifest["made_by"]["is_trained"] is True
    assert call("--list", "--dataset", word.format(own)) == f"{name} (own data): on the disk\n"


def test_a_registered_data_set_is_evaluated_by_its_name(tmp_path):
    words = ("--list", "--json", "--options", f"datasets.mmlink.build_info.annotations.test.storage={OWN_DATA}/x.json")
    (found,) = json.loads(call("--dataset", "mmlink", *words))["sets"]
    assert (found["dataset"], found["task"]) == ("mmlink", "own data")
    assert f"{OWN_DATA}/x.json" in found["missing"]
    with pytest.raises(SamConfigurationError, match="wants the split 'test'"):
        call("--list", "--dataset", "mmlink")
