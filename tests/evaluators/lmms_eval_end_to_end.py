"""lmms-eval itself, from its command line, on a miniature of each task; run by `make test-lmms-eval`.

Not collected by default: lmms-eval lives in an environment of its own.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.documentation import blocks
from helpers.dummies import record, write_dataset
from helpers.miniature_answers import references
from lavis_sam.datasets.annotations import scan_annotations
from lavis_sam.datasets.exchange import FOLDER_EXPORTS
from lavis_sam.evaluators.scoring import NAMES
from lavis_sam.files import write_json
from lavis_sam.predictor import SamPredictor

SETTINGS = {"num_beams": 1, "max_length": 24}
CHANGE = "{image#1}{image#2}Difference:"
# A miniature of each task: what is asked, and how many references the answers have.
TASKS = {
    "group": (["What do both images show?", "What is in all of them?", "Name the theme."], 1),
    "story": ([f"{{image#1}}Caption#1:{text}{{image#2}}Caption#2:" for text in ("A cat sat.", "It ran.", "Rain.")], 1),
    "change": ([f"{text}{CHANGE}" for text in ("Compare.", "What has changed?", "Look closely.")], 2),
}


def offline(*command, cwd):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cwd / "hf")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor.from_pretrained("tiny", device="cpu")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, predictor):
    """Export a miniature of each task, run lmms-eval once over all, and return its folder."""
    root = tmp_path_factory.mktemp("lmms_eval")
    for name, (instructions, number) in TASKS.items():
        folder = root / "data" / name
        folder.mkdir(parents=True)
        records = [record(place, instruction=instruction) for place, instruction in enumerate(instructions)]
        images = [folder / image for image in records[0]["img_list"]]
        write_dataset(folder, records)
        for place, one in enumerate(records):
            one["references"] = references(predictor.caption(images, one["instruction"], **SETTINGS), number, place)
            one["output"] = " ".join(one["references"])
        samples = scan_annotations(write_dataset(folder, records), folder).samples
        FOLDER_EXPORTS["lmms-eval"](samples, folder, root / "tasks", f"sam_{name}")
    arguments = ",".join(f"{key}={value}" for key, value in {"pretrained": "tiny", **SETTINGS}.items())
    tasks = ",".join(f"sam_{name}" for name in TASKS)
    offline(
        *(sys.executable, "-m", "lmms_eval", "--model", "lavis_sam", "--model_args", arguments, "--tasks", tasks),
        *("--include_path", "tasks", "--batch_size", "2", "--log_samples", "--output_path", "out"),
        cwd=root,
    )
    return root


def logged(root, task):
    """Return the prediction records that lmms-eval logged, and its scores."""
    (samples,) = root.glob(f"out/**/*_samples_{task}.jsonl")
    (results,) = root.glob("out/**/*_results.json")
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    scores = json.loads(results.read_text(encoding="utf-8"))["results"][task]
    return [line["coco_cider"] for line in lines], {metric: scores[f"{metric},none"] for metric in NAMES}


@pytest.mark.parametrize("name", TASKS)
def test_scores_are_those_of_lavis_sam_score(evaluated, tmp_path, name):
    records, scores = logged(evaluated, f"sam_{name}")
    assert len(records) == len(TASKS[name][0])
    assert (
        min(scores["sam_rouge"], scores["coco_rouge"], scores["coco_cider"]) > 1
    )  # x100; equal zeros would say nothing
    predictions = tmp_path / "predictions.json"
    write_json(predictions, records)
    for protocol in ("sam", "coco"):
        command = (str(Path(sys.executable).with_name("lavis-sam")), "score", str(predictions), "--protocol", protocol)
        corpus = json.loads(offline(*command, "--resamples", "0", "--json", cwd=tmp_path))["corpus"]
        assert {metric: scores[f"{protocol}_{metric}"] for metric in corpus} == pytest.approx(corpus, abs=1e-12)


def test_answers_are_the_predictors(evaluated, predictor):
    for name in TASKS:
        records, _ = logged(evaluated, f"sam_{name}")
        documents = map(json.loads, (evaluated / "tasks" / f"sam_{name}.jsonl").read_text().splitlines())
        asked = {one["sample_id"]: (one["images"], one["instruction"]) for one in documents}
        for one in records:
            images, instruction = asked[one["sample_id"]]
            assert one["pred_response"] == predictor.caption(images, instruction, **SETTINGS)


def test_the_commands_of_the_page(evaluated):
    (block,) = [block for block in blocks("docs/evaluators.md") if block.marker == "lmms-eval"]
    shutil.copytree(evaluated / "data" / "change", evaluated / "data" / "spot_the_diff")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    offline("env", f"PATH={path}", "bash", "-euc", block.text.replace("vicuna7b", "tiny"), cwd=evaluated)
    (results,) = evaluated.glob("output/lmms_eval/**/*_results.json")
    assert json.loads(results.read_text(encoding="utf-8"))["results"]["spot_the_diff"]["sam_rouge,none"] > 1
