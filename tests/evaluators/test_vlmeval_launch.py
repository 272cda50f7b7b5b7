"""VLMEvalKit's command with our model: what goes into its tables, and what is refused before it starts."""

import logging
import ssl
import sys
from importlib import import_module
from types import ModuleType

import pytest
import torch

from helpers import fake_vlmeval
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.predictor import SamPredictor


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor.from_pretrained("tiny", device="cpu")


@pytest.fixture
def kit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMUData", str(tmp_path))
    monkeypatch.delenv("PRED_FORMAT", raising=False)
    with fake_vlmeval.installed() as kit:
        kit.launch = import_module("lavis_sam.evaluators.vlmeval_launch").launch
        kit.run.main = lambda: None
        yield kit


def never():
    raise AssertionError("no model was to be loaded")


def test_the_command_runs_with_our_model_and_data_sets(kit, predictor, monkeypatch):
    seen = []
    kit.run.main = lambda: seen.append(list(sys.argv))
    before = list(sys.argv)
    loaded = kit.inference.load
    for _ in range(2):  # twice, as a notebook may
        assert kit.launch(lambda: predictor, ["--data", "BLINK"], name="mine", decoding={"num_beams": 1}) == []
    assert seen == [["vlmeval", "--model", "mine", "--data", "BLINK"]] * 2
    assert sys.argv == before
    model = kit.models["mine"]()
    assert (model.predictor, model.choose, model.decoding) == (predictor, "text", {"num_beams": 1})
    assert [one.__name__ for one in kit.classes] == ["ExportedDataset"]
    assert kit.inference.load is not loaded


def test_certificates_are_checked_after_the_import(kit, predictor):
    checked = ssl._create_default_https_context

    class Meddling(ModuleType):
        """VLMEvalKit, which changes this when it is imported."""

        def __getattr__(self, name):
            ssl._create_default_https_context = ssl._create_unverified_context
            return kit.inference

    meddling = Meddling("vlmeval")
    meddling.__dict__.update({key: value for key, value in vars(sys.modules["vlmeval"]).items() if key != "inference"})
    sys.modules["vlmeval"] = meddling
    kit.launch(lambda: predictor, ["--data", "BLINK"])
    assert ssl._create_default_https_context is checked


def test_what_it_logs_as_an_error_comes_back(kit, predictor):
    logger = logging.getLogger("vlmeval.run")
    kit.run.main = lambda: (logger.warning("slow"), logger.error("Dataset %s is not valid", "x"))
    assert kit.launch(lambda: predictor, ["--data", "x", "y"]) == ["Dataset x is not valid"]
    assert kit.launch(lambda: predictor, ["--data", "x"]) == ["Dataset x is not valid"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "x", "--model", "other"], "--model: found behind the --"),
        (["--data", "x", "--conf", "a.json"], "--config: found behind the --"),
        (["--data", "x", "--base-url", "http://localhost"], "--base-url: found behind the --"),
        (["--data", "x", "--api-mode"], "--api-mode: found behind the --"),
        ([], "--data: missing"),
    ],
)
def test_arguments_that_ask_no_data_or_another_model_are_refused(kit, arguments, words):
    with pytest.raises(SamConfigurationError, match=words):
        kit.launch(never, arguments)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"choose": "guess"}, "--choose: unknown way 'guess'"),
        ({"name": "a/b"}, "--name: found 'a/b'"),
        ({"name": ".."}, "--name: found '..'"),
    ],
)
def test_impossible_settings_are_refused(kit, changes, words):
    with pytest.raises(SamConfigurationError, match=words):
        kit.launch(never, ["--data", "x"], **changes)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WORLD_SIZE", "2", "WORLD_SIZE is 2"),
        ("LMUData", "absent", "LMUData: found 'absent', wanted a folder that exists"),
        ("PRED_FORMAT", "xlsx", "PRED_FORMAT: found 'xlsx', wanted tsv"),
    ],
)
def test_an_environment_that_would_lose_answers_is_refused(kit, monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SamConfigurationError, match=words):
        kit.launch(never, ["--data", "x"])


def test_answers_of_another_model_are_not_taken(kit, predictor, tmp_path):
    def launch(**changes):
        return kit.launch(lambda: predictor, ["--data", "x", "--work-dir", "out"], **changes)

    launch(decoding={"num_beams": 1})
    launch(decoding={"num_beams": 1})
    with pytest.raises(SamConfigurationError, match=r"decoding\.num_beams: then 1, now 2"):
        launch(decoding={"num_beams": 2})
    with pytest.raises(SamConfigurationError, match="choose: then"):
        launch(decoding={"num_beams": 1}, choose="likelihood")
    launch(decoding={"num_beams": 2}, name="other")
    trained = next(parameter for parameter in predictor.model.parameters() if parameter.requires_grad)
    with torch.no_grad():
        trained += 1
    try:
        with pytest.raises(SamConfigurationError, match="weights: then"):
            launch(decoding={"num_beams": 1})
    finally:
        with torch.no_grad():
            trained -= 1
    (tmp_path / "out" / "lavis_sam" / "lavis_sam_model.json").write_text("[]")
    with pytest.raises(SamDataError, match=r"lavis_sam_model\.json: found a list"):
        launch(decoding={"num_beams": 1})


def test_a_missing_vlmevalkit_is_named(monkeypatch):
    launch = import_module("lavis_sam.evaluators.vlmeval_launch").launch
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PRED_FORMAT", "tsv")
    monkeypatch.delenv("LMUData", raising=False)
    with pytest.raises(SamConfigurationError, match="VLMEvalKit, which is not installed; `make setup-vlmeval`"):
        launch(never, ["--data", "x"])
