"""`lavis-sam export` on the command line."""

import json

import pytest

from helpers.environments import REPOSITORY
from lavis_sam.predictor.load_model import load_model
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose"))
GREEDY = ("--num-beams", "1", "--max-length", "8", "--device", "cpu")


def test_export_of_trained_layers_and_back(run, tmp_path):
    code, out, _ = run("export", tmp_path / "adapter", "--json")
    assert code == 0
    assert json.loads(out)["format"] == "adapter"
    code, out, _ = run("export", tmp_path / "sam.pth", "--format", "released", "--checkpoint", tmp_path / "adapter")
    assert code == 0
    assert out.startswith("released: ")
    _, wanted, _ = run("caption", CAT, "-p", "What?", *GREEDY)
    for options in (
        ("--model", tmp_path / "adapter"),
        ("--checkpoint", tmp_path / "sam.pth"),
    ):
        assert run("caption", CAT, "-p", "What?", *GREEDY, *options)[1] == wanted


def test_export_never_writes_over_an_earlier_one_silently(run, tmp_path):
    out = tmp_path / "adapter"
    assert run("export", out)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    code, _, err = run("export", out, "--model", "there is no such model")
    assert code == 2
    assert "there is an earlier export" in err
    assert "--overwrite" in err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert run("export", out, "--overwrite")[0] == 0


def test_export_of_an_untrained_model_says_so_in_its_card(run, tmp_path):
    model = load_model("tiny", settings={"finetuned": ""}, device="cpu")
    untrained = save_adapter(tmp_path / "untrained", model, model_type="tiny")
    run("export", tmp_path / "adapter", "--checkpoint", untrained)
    assert "These layers are untrained" in (tmp_path / "adapter" / "README.md").read_text("utf-8")


def test_export_of_a_hub_folder_takes_the_scores_of_the_run(run, tmp_path):
    trained = REPOSITORY / "tests" / "compatibility" / "fixtures" / "run_finished"
    code, out, _ = run(
        "export", "--hub-folder", tmp_path / "hub", "--checkpoint", trained, "--license", "mit", "--json"
    )
    assert code == 0
    assert json.loads(out)["scores"] == 3
    card = (tmp_path / "hub" / "README.md").read_text("utf-8")
    assert "license: mit\n" in card
    assert "model-index:" in card
    code, _, err = run("export", "--hub-folder", tmp_path / "hub", "--model", "there is no such model")
    assert code == 2
    assert "wanted a folder that is new" in err


def test_export_of_a_hub_folder_says_that_it_names_no_scores(run, tmp_path):
    code, _, err = run("export", "--hub-folder", tmp_path / "hub")
    assert code == 0
    assert "the card names no scores; --results RUN" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hub-folder", "a", "--out", "b"), "--hub-folder: found beside --out"),
        (("--hub-folder", "a", "--format", "released"), "--hub-folder: found beside --out"),
        (("--out", "b", "--license", "mit"), "--results and --license: found without --hub-folder"),
    ],
)
def test_export_refuses_options_that_contradict_one_another(run, words, message):
    code, _, err = run("export", *words)
    assert code == 2
    assert message in " ".join(err.split())
