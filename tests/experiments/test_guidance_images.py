"""Guidance images of a sweep's cases, drawn by the layers that a row trained."""

import json
import shutil

import pytest
from omegaconf import OmegaConf
from PIL import Image

from helpers.sweeps import write_sweep
from helpers.trained_tiny import trained_tiny_model
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.evaluation.model import EvaluationSample
from lavis_sam.experiments.findings import findings
from lavis_sam.experiments.guidance_images import guidance_images
from lavis_sam.experiments.page import write_report
from lavis_sam.predictor.sam_predictor import SamPredictor
from lavis_sam.weights.checkpoints import save_checkpoint, trained_checkpoint
from lavis_sam.weights.packaged import MODEL_CONFIGS


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder)
    model = trained_tiny_model()
    node = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["tiny"]).model)
    for seed in (0, 1):
        run = folder / "sam" / f"seed-{seed}"
        save_checkpoint(run / "checkpoint_best.pth", trained_checkpoint(model, {"model": node}))
        OmegaConf.save({"model": node}, run / "config.yaml")
    return folder


@pytest.fixture
def sweep(whole_sweep, tmp_path):
    return shutil.copytree(whole_sweep, tmp_path / "sweep")


def sample(name):
    images = tuple(Image.new("RGB", (40, 30), colour) for colour in ("red", "navy"))
    return EvaluationSample(MultiImageSample(name, ("a.png", "b.png"), f"What is {name}?", "", (), ""), images)


def test_each_case_is_explained_by_the_layers_of_the_row(sweep):
    case = findings(sweep)["cases"][0]
    key = case["set"], case["sample"]
    ((found, ((row, image),)),) = guidance_images(sweep, findings(sweep), ["sam", "sam"], {key: sample("it")}).items()
    own = SamPredictor.from_pretrained(sweep / "sam" / "seed-0", device="cpu")
    assert (found, row) == (key, "sam")
    assert image.tobytes() == own.explain(list(sample("it").images), "What is it?").draw().tobytes()


def test_the_page_shows_them_under_the_cases_whose_images_are_there(sweep):
    cases = findings(sweep)["cases"]
    known = {case["sample"] for case in cases[:1]}
    assert len(cases) > len(known)

    def look_up(case):
        return sample(case["sample"]) if case["sample"] in known else None

    page = write_report(sweep, look_up, guidance=["sam"]).read_text(encoding="utf-8")
    assert page.count("<summary>Guidance: SAM</summary>") == len(known)
    assert "<summary>" not in write_report(sweep, look_up).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("sma", "unknown row 'sma'. Did you mean 'sam'?"),
        ("base", "base: this row trains nothing, so nothing guides in it"),
    ],
)
def test_a_row_that_has_no_guidance_is_refused_before_a_model_is_loaded(sweep, row, words, monkeypatch):
    monkeypatch.setattr(SamPredictor, "from_pretrained", None)
    with pytest.raises(SamConfigurationError, match=words):
        guidance_images(sweep, findings(sweep), ["sam", row], {})


def test_a_row_without_extractor_and_one_whose_checkpoint_is_gone_are_refused(sweep):
    path = sweep / "sam" / "seed-0" / "checkpoint_best.pth"
    before = (sweep / "report.html").exists()
    path.unlink()
    with pytest.raises(SamCheckpointError, match="this run has no checkpoint"):
        write_report(sweep, guidance=["sam"])
    assert (sweep / "report.html").exists() == before
    described = json.loads((sweep / "sweep.json").read_text(encoding="utf-8"))
    described["rows"]["sam"]["options"] = {"model.guidance.extractor": "none"}
    (sweep / "sweep.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(SamConfigurationError, match=r"sam: its model\.guidance\.extractor is none"):
        guidance_images(sweep, findings(sweep), ["sam"], {})
