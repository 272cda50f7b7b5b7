"""The embedded default, as a user runs it: train, look at what is there, evaluate, continue, two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lavis
import pytest
import torch

import lavis_sam
from lavis_sam.datasets.schema import read_annotations

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = "projects/sam/tiny/train.yaml"
EVALUATE = "projects/sam/tiny/evaluate.yaml"
TRAINED = {
    "adaptive_adjustment.linear_a.weight",
    "adaptive_adjustment.linear_a.bias",
    "w_former.linear_h.weight",
    "w_former.linear_h.bias",
    "w_former.linear_c.weight",
    "w_former.linear_c.bias",
    "llm_proj.weight",
    "llm_proj.bias",
}

# float32 over 20 steps at the paper's rate; the worst difference seen was 6e-8.
TOLERANCE = 1e-6

pytestmark = pytest.mark.integration


def run(folder, *words):
    """Run a command of python's in `folder`, where nothing of the repository is but its projects."""
    if not (folder / "projects").exists():
        (folder / "projects").symlink_to(REPOSITORY / "projects")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


def only_run(folder):
    (found,) = folder.iterdir()
    return found


def events(folder, kind):
    lines = (json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


def files_of_lavis():
    """LAVIS's installed folder, where its own runner writes a relative output_dir."""
    return {path for path in Path(lavis.__file__).parent.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder that the documented command was run in, and the run's folder."""
    folder = tmp_path_factory.mktemp("first_training")
    before = files_of_lavis()
    run(folder, "-m", "lavis.train", "--cfg-path", TRAIN)
    assert files_of_lavis() == before
    return folder, only_run(folder / "output" / "sam" / "tiny")


def test_the_loss_goes_down(trained):
    epochs = events(trained[1], "epoch")
    assert len(epochs) == 16
    steps = events(trained[1], "train")
    assert [step["step"] for step in steps] == list(range(48))
    assert {step["samples"] for step in steps} == {6}
    # 8.1 -> 4.8 when this was written
    assert epochs[-1]["loss"] < 0.75 * epochs[0]["loss"]
    assert steps[-1]["loss"] < 0.75 * steps[0]["loss"]


def test_the_checkpoint_holds_the_trained_parameters_only(trained):
    (path,) = trained[1].glob("*.pth")
    content = torch.load(path, weights_only=True)
    assert set(content["model"]) == TRAINED
    # every one of them has moved: SAM's layers away from zero
    assert all(tensor.any() for name, tensor in content["model"].items() if name.startswith("w_former"))
    assert content["progress"]["epochs"] == 16
    assert content["config"]["run"]["init_lr"] == 0.01


def test_every_picture_set_has_a_caption(trained):
    photographs = Path(lavis_sam.__path__[0]) / "assets" / "photographs"
    samples = read_annotations(photographs / "annotations.json", photographs)
    predictions = json.loads((trained[1] / "result" / "test" / "mmlink" / "pred.json").read_text())
    assert [(p["sample_id"], p["gt_response"]) for p in predictions] == [(s.id, s.output) for s in samples]
    assert all(isinstance(p["pred_response"], str) for p in predictions)
    assert all(set(p) == {"sample_id", "pred_response", "gt_response"} for p in predictions)
    (evaluation,) = events(trained[1], "evaluation")
    assert evaluation["samples"] == len(samples)


def test_nothing_else_is_written(trained):
    folder, run_folder = trained
    assert {path.name for path in folder.iterdir()} <= {"projects", "output", ".cache", ".triton"}
    names = {str(path.relative_to(run_folder)) for path in run_folder.rglob("*") if path.is_file()}
    assert names == {"config.yaml", "log.jsonl", "checkpoint_15.pth", "result/test/mmlink/pred.json"}


def test_evaluate_gives_the_same_captions(trained):
    folder, run_folder = trained
    checkpoint = str(next(run_folder.glob("*.pth")))
    run(
        folder,
        "-m",
        "lavis.evaluate",
        "--cfg-path",
        EVALUATE,
        "--ckpt",
        checkpoint,
        "--options",
        "run.batch_size_eval=5",
    )
    evaluated = only_run(folder / "output" / "sam" / "tiny_evaluation")
    files = [path / "result" / "test" / "mmlink" / "pred.json" for path in (run_folder, evaluated)]
    assert json.loads(files[0].read_text()) == json.loads(files[1].read_text())
    assert not list(evaluated.glob("*.pth"))
    losses = [events(path, "evaluation")[0]["loss"] for path in (run_folder, evaluated)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_two_processes_agree_with_one(tmp_path):
    """20 steps of torchrun with 2 x 2 samples give the weights of one process with 4 (every fifth step has 2)."""
    options = ["run.max_epoch=4", "run.warmup_steps=0", "run.init_lr=2e-5", "run.job_id=here"]

    def weights(name, batch_size, *launcher):
        words = [f"run.output_dir=output/{name}", f"run.batch_size_train={batch_size}", *options]
        run(tmp_path, *launcher, "-m", "lavis.train", "--cfg-path", TRAIN, "--options", *words)
        folder = tmp_path / "output" / name / "here"
        return folder, torch.load(folder / "checkpoint_3.pth", weights_only=True)["model"]

    one, single = weights("one", 4)
    two, double = weights("two", 2, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    for name, weight in single.items():
        # The softmax over images does not depend on its bias: that gradient is noise, which AdamW blows up.
        if name != "adaptive_adjustment.linear_a.bias":
            torch.testing.assert_close(weight, double[name], atol=TOLERANCE, rtol=0, msg=name)
    assert len(events(two, "train")) == 20
    for kind in ("train", "evaluation"):
        pairs = list(zip(events(one, kind), events(two, kind), strict=True))
        assert all(a["loss"] == pytest.approx(b["loss"], rel=1e-5) for a, b in pairs)
        assert all(a["samples"] == b["samples"] for a, b in pairs)
    predictions = [(f / "result" / "test" / "mmlink" / "pred.json") for f in (one, two)]
    names = [[p["sample_id"] for p in json.loads(path.read_text())] for path in predictions]
    assert names[0] == names[1]
