"""A refused command leaves every byte on the disk as it was; folders of version 0.1.0 are what it is given.

The runs are in `tests/plugin/test_runner_folder.py` once more, with refusals that only a small model makes quick.
"""

import shutil
from pathlib import Path

import pytest

from helpers.digests import folder_digests
from lavis_sam import evaluate, train
from lavis_sam.locks import locked

CONFIGS = Path(__file__).resolve().parents[2] / "projects" / "sam" / "eval"
SYNTHESIZE = ["synthesize", "--out", "holiday", "--kinds", "icons", "--workers", "0", "--num", "2"]
RUN = ("train.yaml", "photographs.json", "two_photographs.json", "run_interrupted", "run_finished")
EVALUATION = ("evaluate.yaml", "photographs.json", "run_finished/checkpoint_2.pth", "evaluation_finished")
# Nobody listens there.
SERVICE = ["--endpoint", "http://127.0.0.1:47112/v1", "--attempts", "1", "--max-requests", "9"]


def trained(*options):
    return ["train", "--cfg-path", "train.yaml", "--options", *options]


def resumed(*options):
    options = ["run.job_id=run_interrupted", "run.resume=auto", "run.batch_size_train=3", "run.max_epoch=2", *options]
    return trained(*options)


def evaluated(*options):
    words = ["evaluate", "--cfg-path", "evaluate.yaml", "--ckpt", "run_finished/checkpoint_2.pth", "--options"]
    return [*words, "run.job_id=evaluation_finished", *options]


def benchmarked(*words):
    return [
        "benchmark",
        "--model",
        "tiny",
        "--data",
        "releases",
        "--only",
        "storytelling",
        "--configs",
        CONFIGS,
        *words,
    ]


def asked(model, *words):
    return ["baseline", *SERVICE, "--model", model, "--dataset", "mine", "--data", "unified", *words]


def cut(root):
    path = root / "run_interrupted" / "checkpoint_1_step8.pth"
    path.write_bytes(path.read_bytes()[:400_000])


def foreign(root):
    (root / "holiday").mkdir()
    (root / "holiday" / "photo.jpg").write_bytes(b"a photo")


def finished(root):
    (root / "holiday").mkdir()
    (root / "holiday" / "manifest.json").write_text("{}")


def split(root):
    (root / "unified" / "annotations.val.json").write_text("[]")


def unpacked(root):
    shutil.copytree(root / "unified", root / "set")


# What is refused -> files of version 0.1.0, the command, what it says, what is done to the files before.
REFUSALS = {
    "train: a job_id that is taken": (RUN, trained("run.job_id=run_finished"), "run.overwrite=true"),
    "train: a job_id that leads elsewhere": (RUN, trained("run.job_id=a/../../esc"), "the name of one folder"),
    "train: an option of another type": (RUN, trained("run.job_id=run_finished", "run.init_lr=quick"), "run.init_lr"),
    "train: an option that nobody knows": (RUN, trained("run.job_id=run_finished", "run.spam=1"), "run: unknown key"),
    "train: anew and on": (RUN, resumed("run.overwrite=true"), "run.overwrite and run.resume: found both"),
    "train: anew from a damaged file": (
        RUN,
        trained("run.job_id=run_interrupted", "run.overwrite=true", "model.finetuned=photographs.json"),
        "photographs.json",
    ),
    "train: on with another guidance": (RUN, resumed("model.guidance.layer_l=2"), "layer_l"),
    "train: on with another seed": (RUN, resumed("run.seed=7"), "seed"),
    "train: on with other data": (
        RUN,
        resumed("datasets.mmlink.build_info.annotations.train.storage=two_photographs.json"),
        "checkpoint_1_step8.pth",
    ),
    "train: on from a damaged checkpoint": (RUN, resumed(), "checkpoint_1_step8.pth", cut),
    "evaluate: other answers": (EVALUATION, evaluated("run.decoding.max_length=9"), "max_length"),
    "evaluate: data that are not there": (EVALUATION, evaluated("run.test_splits=[val,spam]"), "spam"),
    "benchmark: another model": (("benchmark_run", "releases"), benchmarked("--out", "benchmark_run"), "weights"),
    "baseline: another model": (("baseline_run", "unified"), asked("other", "--out", "baseline_run"), "weights"),
    "baseline: too much": (("unified",), asked("gpt-x", "--out", "new", "--max-requests", "1"), "the limit is 1"),
    "baseline: nobody answers": (("unified",), asked("gpt-x", "--out", "new"), "47112"),
    "synthesize: somebody's folder": ((), [*SYNTHESIZE, "--resume"], "found 'photo.jpg'", foreign),
    "synthesize: a data set is there": ((), SYNTHESIZE, "holds a finished data set. Add --resume", finished),
    "data shards: shards are there": (("unified", "shards"), ["data", "shards", "unified", "shards"], "overwrite"),
    "data shards: a data set is there": (
        ("unified", "shards"),
        ["data", "shards", "shards", "set", "--unpack"],
        "set",
        unpacked,
    ),
    "data split: a part is there": (("unified",), ["data", "split", "unified"], "nothing is overwritten", split),
    "export: an adapter is there": (
        ("adapter",),
        ["export", "adapter", "--model", "tiny", "--checkpoint", "adapter"],
        "--overwrite",
    ),
    "export: a released file is there": (
        ("adapter", "released.pth"),
        ["export", "released.pth", "--format", "released", "--model", "tiny", "--checkpoint", "adapter"],
        "--overwrite",
    ),
    "score: results of other predictions": (
        ("baseline_run", "scored_run"),
        ["score", "baseline_run/mine/pred.json", "--out", "scored_run/AESOP"],
        "results of other predictions",
    ),
}
# The folder in use -> files, the command.
LOCKED = {
    "run_interrupted": (RUN, resumed()),
    "run_finished": (RUN, trained("run.job_id=run_finished", "run.overwrite=true")),
    "evaluation_finished": (EVALUATION, evaluated()),
    "benchmark_run": (("benchmark_run", "releases", "adapter"), benchmarked("--out", "benchmark_run")),
    "baseline_run": (("baseline_run", "unified"), asked("gpt-x", "--out", "baseline_run")),
    "holiday": ((), [*SYNTHESIZE, "--resume"]),
}


@pytest.fixture
def refused(run, capsys):
    """Run a command that must be refused; returns what it said."""

    def call(program, *words):
        mains = {"train": train.main, "evaluate": evaluate.main}
        if program in mains:
            code, said = mains[program](words), capsys.readouterr().err
        else:
            code, _, said = run(program, *words)
        assert code == 2, said
        assert "Traceback" not in said
        return said

    return call


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refused_command_leaves_every_byte(bring, refused, what):
    needed, words, message, *before = REFUSALS[what]
    root = bring(*needed)
    for change in before:
        change(root)
    digests = folder_digests(root)
    assert message in refused(*words)
    assert folder_digests(root) == digests


@pytest.mark.parametrize("folder", LOCKED)
def test_a_command_on_a_folder_in_use_leaves_every_byte(bring, refused, folder):
    needed, words = LOCKED[folder]
    root = bring(*needed)
    (root / folder).mkdir(exist_ok=True)
    digests = folder_digests(root)
    with locked(root / folder, "x"):
        assert "another process is working in this folder" in refused(*words)
    assert folder_digests(root) == digests
