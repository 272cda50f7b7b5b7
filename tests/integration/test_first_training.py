"""The embedded default, as a user runs it: train, look at what is there, evaluate, continue, two processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import lavis
import pytest
import torch

import lavis_sam
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.training.metric_log import read_metric_log

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
# For one command, on a loaded machine.
SECONDS = 600

pytestmark = pytest.mark.integration


def surroundings(folder):
    """A folder where nothing of the repository is but its projects, and an environment with nothing of ours."""
    if not (folder / "projects").exists():
        (folder / "projects").symlink_to(REPOSITORY / "projects")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return {"cwd": folder, "env": environment}


def run(folder, *words):
    """Run a command of python's in `folder`."""
    done = subprocess.run(
        [sys.executable, *words], **surroundings(folder), capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done


def only_run(folder):
    (found,) = folder.iterdir()
    return found


def events(folder, kind):
    return [event for event in read_metric_log(folder / "log.jsonl") if event["event"] == kind]


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


def test_every_image_set_has_a_caption(trained):
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
    results = ("pred.json", "eval.json", "eval_score.json", "manifest.json", "answers-0.jsonl")
    assert names == {"config.yaml", "log.jsonl", "checkpoint_15.pth", *(f"result/test/mmlink/{n}" for n in results)}


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


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(tmp_path, precision):
    """Clipped and accumulated too: every loss is finite, and the trained layers stay float32."""
    options = ["run.max_epoch=4", "run.accum_grad_iters=2", "run.max_grad_norm=1.0", "run.test_splits=[]"]
    run(tmp_path, "-m", "lavis.train", "--cfg-path", TRAIN, "--options", f"model.precision={precision}", *options)
    folder = only_run(tmp_path / "output" / "sam" / "tiny")
    steps = events(folder, "train")
    assert len(steps) == 4 * 2  # 3 batches an epoch: the last window is one batch
    assert all(step["loss"] is not None for step in steps)
    # fp16's scaler finds its scale by steps that overflow, which change nothing.
    assert all(step["grad_norm"] is not None for step in (steps[4:] if precision == "fp16" else steps))
    assert events(folder, "epoch")[-1]["loss"] < events(folder, "epoch")[0]["loss"]
    content = torch.load(folder / "checkpoint_3.pth", weights_only=True)
    assert {tensor.dtype for tensor in content["model"].values()} == {torch.float32}
    assert bool(content["scaler"]) == (precision == "fp16")


def test_kill_and_resume_of_the_embedded_default(tmp_path):
    """The real model too: what a killed run left is continued to the same losses and weights, bit by bit."""
    options = ["run.max_epoch=3", "run.checkpoint_steps=2", "run.resume=auto", "run.test_splits=[]", "run.job_id=here"]

    def command(name):
        return ["-m", "lavis.train", "--cfg-path", TRAIN, "--options", f"run.output_dir=output/{name}", *options]

    def made(name):
        folder = tmp_path / "output" / name / "here"
        log = folder / "log.jsonl"
        return {step["step"]: step["loss"] for step in events(folder, "train")} if log.is_file() else {}

    run(tmp_path, *command("whole"))
    child = subprocess.Popen([sys.executable, *command("killed")], **surroundings(tmp_path), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + SECONDS
        while len(made("killed")) < 5:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()
    run(tmp_path, *command("killed"))
    (resumed,) = events(tmp_path / "output" / "killed" / "here", "resumed")
    assert resumed["step"] in (2, 3, 4, 6, 8)
    assert made("killed") == made("whole")
    one, two = (
        torch.load(tmp_path / "output" / name / "here" / "checkpoint_2.pth", weights_only=True)["model"]
        for name in ("whole", "killed")
    )
    assert all(torch.equal(weight, two[name]) for name, weight in one.items())
