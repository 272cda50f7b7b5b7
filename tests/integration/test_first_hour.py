"""A new user's hour: from twelve folders of photographs to a model that captions them, by README.md alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lavis_sam.training.metric_log import read_metric_log

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECONDS = 600

pytestmark = pytest.mark.integration


def commands():
    """The lines between the markers, as they stand there."""
    found = re.search(r"<!-- hour -->\n```bash\n(.*?)^```\n<!-- /hour -->", README, re.MULTILINE | re.DOTALL)
    assert found, "README.md: wants commands between <!-- hour --> and <!-- /hour -->"
    return found[1].strip().splitlines()


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """The folder after the hour, and what each command printed."""
    folder = tmp_path_factory.mktemp("hour")
    (folder / "projects").symlink_to(ROOT / "projects")
    (folder / "lavis_sam" / "assets").mkdir(parents=True)
    (folder / "lavis_sam" / "assets" / "photographs").symlink_to(ROOT / "lavis_sam" / "assets" / "photographs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # The repository is found by its installation; a folder of its name must not come before it.
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"}
    printed = {}
    for command in commands():
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        printed[command] = done.stdout, done.stderr
    return folder, printed


def of(hour, beginning):
    """What the one command printed that begins like this."""
    (found,) = [said for command, said in hour[1].items() if command.startswith(beginning)]
    return found


def test_first_hour_makes_a_data_set_and_its_page(hour):
    folder = hour[0] / "data" / "own"
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 12
    splits = [json.loads((folder / f"annotations.{split}.json").read_text()) for split in ("train", "val", "test")]
    assert sum(map(len, splits)) == len(json.loads((folder / "annotations.json").read_text())) == 12
    page = (folder / "preview.html").read_text()
    assert page.count("<article>") == 12


def test_first_hour_trains_and_evaluates(hour):
    run = hour[0] / "output" / "sam" / "tiny" / "own"
    losses = [event["loss"] for event in read_metric_log(run / "log.jsonl") if event["event"] == "train"]
    assert losses[-1] < losses[0] / 2
    assert (run / "curves.png").is_file()
    for result in (run, hour[0] / "output" / "sam" / "tiny_evaluation" / "own"):
        scores = json.loads((result / "result" / "test" / "own" / "eval.json").read_text())
        assert {"rouge", "cider", "bleu4"} <= scores.keys()


def test_first_hour_answers_with_what_was_trained(hour):
    lines = [json.loads(line) for line in of(hour, "lavis-sam caption")[0].splitlines()]
    assert [Path(line["sample"]).name for line in lines] == ["cat", "rocket"]
    assert all(line["is_trained"] for line in lines)
    assert [len(line["images"]) for line in lines] == [3, 3]
    assert all("They all show" in line["answers"][0] for line in lines)


def test_first_hour_explains_and_gives_the_model_away(hour):
    assert any((hour[0] / "output" / "explained").iterdir())
    adapter = hour[0] / "output" / "my_adapter"
    assert (adapter / "sam_adapter.safetensors").is_file()
