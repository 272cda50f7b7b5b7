"""The calls that the plugin promises, word for word, in fresh processes, after a wheel and an editable install."""

import json
import shutil

import pytest

from helpers.environments import REPOSITORY, run

pytestmark = pytest.mark.integration

CONFIG = "projects/sam/tiny/train.yaml"
QUICK = ("--options", "run.job_id=quick", "run.max_epoch=1", "run.decoding.max_length=4")
OFFLINE = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def folder(tmp_path):
    """A working directory with the project's run configurations and nothing else of it."""
    shutil.copytree(REPOSITORY / "projects", tmp_path / "projects")
    return tmp_path


def finished(done) -> str:
    """Standard output of a command that went well and had nothing to warn of."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def predictions(folder) -> list[dict]:
    (path,) = (folder / "output/sam/tiny/quick").glob("result/**/pred.json")
    return json.loads(path.read_text())


def test_load_model_and_preprocess(complete, folder):
    code = (
        "from lavis.models import load_model_and_preprocess\n"
        "model, vis_processors, txt_processors = load_model_and_preprocess('blip2_vicuna_sam', 'tiny')\n"
        "print(type(model).__name__, sorted(vis_processors), txt_processors['eval']('{image#1}Caption#1: A (cat).'))\n"
        "try: load_model_and_preprocess('blip2_vicuna_sam')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    out = finished(complete.run("-c", code, cwd=folder, **OFFLINE)).splitlines()
    assert out[0] == "Blip2VicunaSAM ['eval', 'train'] {image#1}Caption#1: A (cat)."
    # The default is the real model, and this machine has none of its files.
    assert out[1].startswith("SamCheckpointError")
    assert 'model_type="tiny" works offline' in out[-1]


def test_train_and_evaluate(complete, folder):
    installed = complete.files()
    finished(complete.run("-m", "lavis.train", "--cfg-path", CONFIG, *QUICK, cwd=folder, **OFFLINE))
    made = folder / "output/sam/tiny/quick"
    assert {path.name for path in made.iterdir()} >= {"config.yaml", "log.jsonl", "result"}
    (checkpoint,) = made.glob("checkpoint_*.pth")
    trained = predictions(folder)
    assert trained
    assert complete.files() == installed, "a run wrote into the environment"

    made.rename(folder / "trained")
    checkpoint = folder / "trained" / checkpoint.name
    arguments = ("--cfg-path", CONFIG, "--ckpt", str(checkpoint), *QUICK)
    finished(complete.run("-m", "lavis.evaluate", *arguments, cwd=folder, **OFFLINE))
    assert predictions(folder) == trained


@pytest.mark.parametrize("complete", ["wheel"], indirect=True)
def test_two_processes_under_torchrun(complete, folder):
    arguments = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "lavis.train")
    workers = "run.num_workers=1"  # forked and in turn asking for modules
    done = complete.run(*arguments, "--cfg-path", CONFIG, *QUICK, workers, cwd=folder, **OFFLINE)
    assert done.returncode == 0, done.stderr
    assert predictions(folder)


@pytest.mark.parametrize("complete", ["wheel"], indirect=True)
def test_an_unknown_name_in_a_run_is_answered_with_the_valid_ones(complete, folder):
    options = ("--options", "run.task=captionin")
    failed = complete.run("-m", "lavis.train", "--cfg-path", CONFIG, *options, cwd=folder, **OFFLINE)
    assert failed.returncode != 0
    assert "unknown task 'captionin'" in failed.stderr
    assert "multi_image_captioning" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_console_script(complete, folder):
    done = run([str(complete.path / "bin/lavis-sam"), "--version"], cwd=folder, **OFFLINE)
    assert finished(done).startswith("lavis-sam ")
