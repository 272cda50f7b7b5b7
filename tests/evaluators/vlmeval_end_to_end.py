"""VLMEvalKit itself, by our command, on a miniature of each task and of public benchmarks; run by `make test-vlmeval`.

Not collected by default: VLMEvalKit lives in an environment of its own. The commands are those of docs/evaluators.md,
with the embedded model.
"""

import base64
import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import endpoint_server
from helpers.dummies import record, write_dataset
from helpers.environments import REPOSITORY
from helpers.miniature_answers import references
from lavis_sam.datasets.annotations import scan_annotations
from lavis_sam.datasets.exchange import FOLDER_EXPORTS
from lavis_sam.evaluators.scoring import NAMES
from lavis_sam.files import write_json
from lavis_sam.predictor import SamPredictor

PAGE = (REPOSITORY / "docs" / "evaluators.md").read_text(encoding="utf-8")
CHANGE = "{image#1}{image#2}Difference:"
# A miniature of each task: what is asked, and how many references the answers have.
TASKS = {
    "sam_group": (["What do both images show?", "What is in all of them?", "NA"], 1),
    "sam_story": (
        [f"{{image#1}}Caption#1:{text}{{image#2}}Caption#2:" for text in ("A cat sat.", "It ran.", "Rain.")],
        1,
    ),
    "spot_the_diff": ([f"{text}{CHANGE}" for text in ("Compare.", "What has changed?", "Look closely.")], 2),
}
CHOICES = {"A": "a red chair", "B": "a table lamp", "C": "a cat", "D": "the same dog"}
# Rows as the public benchmarks have them; MUIRBench says in the question where its images are.
PUBLIC = {
    "BLINK": ["Which of the images shows it? Select from the options.", "How many are the same?", "Which is nearer?"],
    "MUIRBench": ["Is <image> what <image> shows?", "After <image>, does <image> follow?"],
    "MMVMBench": ["Which object of the second image is that of the first? (A) 1 (B) 2", "And here? (A) 1 (B) 2"],
}


def commands(name):
    """The commands between the markers of the page, with the embedded model."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)^```\n<!-- /{name} -->", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/evaluators.md: wants commands between <!-- {name} --> and <!-- /{name} -->"
    return found[1].replace("vicuna7b", "tiny").strip().splitlines()


def shell(line, cwd, **more):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


@pytest.fixture(scope="module")
def predictor():
    return SamPredictor.from_pretrained("tiny", device="cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory, predictor):
    """A folder with data sets in the unified format, and with LMUData's."""
    root = tmp_path_factory.mktemp("vlmeval")
    for name, (instructions, number) in TASKS.items():
        folder = root / "data" / name
        folder.mkdir(parents=True)
        records = [record(place, instruction=instruction) for place, instruction in enumerate(instructions)]
        images = [folder / image for image in records[0]["img_list"]]
        write_dataset(folder, records)
        for place, one in enumerate(records):
            one["references"] = references(predictor.caption(images, one["instruction"]), number, place)
            one["output"] = " ".join(one["references"])
        samples = scan_annotations(write_dataset(folder, records), folder).samples
        FOLDER_EXPORTS["vlmevalkit"](samples, folder, root / "lmu", name)
    encoded = [base64.b64encode(image.read_bytes()).decode() for image in images]
    for name, questions in PUBLIC.items():
        with (root / "lmu" / f"{name}.tsv").open("w", newline="") as file:
            writer = csv.writer(file, dialect="excel-tab")
            writer.writerow(["index", "image", "question", *CHOICES, "answer", "category", "match_type"])
            for place, question in enumerate(questions):
                row = (place, str(encoded), question, *CHOICES.values(), "ABC"[place], f"kind {place}", "[1, 5]")
                writer.writerow(row)
    return root


@pytest.fixture
def at(root, monkeypatch):
    """In the folder, with its LMUData, and with miniatures that are not taken for damaged files of the benchmarks."""
    from vlmeval.dataset import ImageMCQDataset, MMVMBench, MUIRDataset

    monkeypatch.chdir(root)
    monkeypatch.setenv("LMUData", str(root / "lmu"))
    monkeypatch.setenv("PRED_FORMAT", "tsv")
    for of in (ImageMCQDataset, MUIRDataset, MMVMBench):
        monkeypatch.setattr(of, "DATASET_MD5", {})
    return root


def scored(folder, name, tmp_path):
    """Compare the scores of a data set with those of `lavis-sam score` on its predictions; return the predictions."""
    found = json.loads((folder / f"lavis_sam_{name}_scores.json").read_text())
    records = json.loads((folder / f"lavis_sam_{name}_predictions.json").read_text())
    assert set(found) == set(NAMES)
    assert min(found["sam_rouge"], found["coco_rouge"], found["coco_cider"]) > 1  # x100; equal zeros would say nothing
    write_json(tmp_path / "predictions.json", records)
    for protocol in ("sam", "coco"):
        done = shell(f"lavis-sam score predictions.json --protocol {protocol} --resamples 0 --json", tmp_path)
        assert done.returncode == 0, done.stderr
        wanted = json.loads(done.stdout)["corpus"]
        assert {metric: found[f"{protocol}_{metric}"] for metric in wanted} == pytest.approx(wanted, abs=1e-12)
    return records


def check_answers(records, predictor, folder, **decoding):
    """Compare predictions with the predictor's answers to the same samples."""
    samples = {str(sample.id): sample for sample in scan_annotations(folder / "annotations.json", folder).samples}
    assert len(records) == len(samples)
    for one in records:
        sample = samples[one["sample_id"]]
        images = [folder / image for image in sample.images]
        assert one["pred_response"] == predictor.caption(images, sample.instruction, **decoding)
        assert one["references"] == list(sample.references)


def test_the_commands_of_the_page_for_a_data_set_of_ours(root, predictor, tmp_path):
    for line in commands("vlmeval"):
        done = shell(line, root)
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    records = scored(root / "output" / "vlmeval" / "lavis_sam", "spot_the_diff", tmp_path)
    check_answers(records, predictor, root / "data" / "spot_the_diff")


def test_groups_and_stories_are_scored_as_lavis_sam_score_does(at, run, predictor, tmp_path):
    words = ("vlmeval", "--num-beams", 1, "--max-new-tokens", 23, "--", "--data", "sam_group", "sam_story")
    for _ in range(2):  # the second time, with the answers that are there
        code, said, complained = run(*words, "--work-dir", "out")
        assert code == 0, said + complained
        for name in ("sam_group", "sam_story"):
            records = scored(at / "out" / "lavis_sam", name, tmp_path)
            check_answers(records, predictor, at / "data" / name, num_beams=1, max_length=24)


def answers(folder, model, name):
    with (folder / model / f"{model}_{name}.tsv").open(newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


def test_the_commands_of_the_page_for_public_benchmarks(at, run, predictor, monkeypatch):
    with endpoint_server.running() as judge:
        judge.otherwise = lambda body: endpoint_server.said("[YES]" if "And here?" in str(body) else "[NO]")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
        monkeypatch.setenv("OPENAI_API_BASE", f"{judge.url}/chat/completions")
        for line in commands("vlmeval-public"):
            program, *words = shlex.split(line)
            assert program == "lavis-sam"
            code, said, complained = run(*words)
            assert code == 0, f"{line}\n{said[-3000:]}\n{complained[-3000:]}"
        assert len(judge.requests) == len(PUBLIC["MMVMBench"])
    folder = at / "output" / "vlmeval"
    images = [at / "data" / "spot_the_diff" / name for name in ("one.png", "two.png")]
    rows = answers(folder, "sam_likelihood", "BLINK")
    check_choices(rows, predictor, images)
    right = sum(row["prediction"] == row["answer"] for row in rows) / len(rows)
    (read,) = csv.DictReader((folder / "sam_likelihood" / "sam_likelihood_BLINK_acc.csv").open())
    assert float(read["Overall"]) == pytest.approx(right)
    for row in answers(folder, "lavis_sam", "MUIRBench"):
        options = "\n".join(f"{letter}. {text}" for letter, text in CHOICES.items())
        question = row["question"].replace("<image>", "{image#1}", 1).replace("<image>", "{image#2}", 1)
        prompt = f"{question}\n{options}\nAnswer with the option's letter from the given choices directly."
        assert row["prediction"] == predictor.caption(images, prompt)
    for row in answers(folder, "lavis_sam", "MMVMBench"):
        assert row["prediction"] == predictor.caption(images, row["question"])
    accuracy = (folder / "lavis_sam" / "lavis_sam_MMVMBench_gpt-4o_acc.csv").read_text()
    assert accuracy.splitlines()[1].split(",")[0] == '"0.5"'


def check_choices(rows, predictor, images):
    """Compare the letters with the first in the order of `predict_class`."""
    from lavis_sam.plugin.question_answering import candidate_losses

    batch = predictor._batch([(0, images)])
    options = "".join(f"{letter}. {text}\n" for letter, text in CHOICES.items())
    for row in rows:
        prompt = f"Question: {row['question']}\nOptions:\n{options}"
        prompt += "Please select the correct answer from the options above. \n"
        with torch.no_grad():
            visual = predictor.model.encode(batch, [prompt])
            losses = candidate_losses(predictor.model, visual, [prompt], list(CHOICES.values()), 1)[0]
        assert row["prediction"] == list(CHOICES)[int(losses.argmin())]


def test_answers_of_other_decoding_are_not_taken(at, run):
    words = ("vlmeval", "--num-beams", 1, "--", "--data", "sam_group", "--work-dir", "guarded", "--mode", "infer")
    assert run(*words)[0] == 0
    words = ("vlmeval", "--num-beams", 2, "--max-new-tokens", 5, *words[3:])
    code, _, complained = run(*words)
    assert code == 2
    assert "decoding.num_beams: then 1, now 2" in complained


def test_another_export_of_the_same_name_is_asked_again(at, run):
    """VLMEvalKit keeps answers and images by the index of a row."""
    folder = at / "data" / "changing"
    folder.mkdir()
    for shade in (1, 2):
        write_dataset(folder, [record(1, img_list=[f"{shade}.png", "two.png"], instruction=f"What? {shade}")])
        assert run("data", "export", "vlmevalkit", folder, "--out", at / "lmu")[0] == 0
        words = ("vlmeval", "--num-beams", 1, "--", "--data", "changing", "--work-dir", "changing", "--mode", "infer")
        assert run(*words)[0] == 0
    (row,) = answers(at / "changing", "lavis_sam", "changing")
    assert row["question"] == "What? 2"
    assert len(list((at / "lmu" / "images" / "changing").iterdir())) == 4


def test_a_data_set_that_fails_is_named_and_the_others_are_answered(at, run):
    (at / "lmu" / "blind.tsv").write_text("index\tquestion\timage_path\n0\tWhat?\tabsent.png\n")
    code, _, complained = run(
        "vlmeval", "--num-beams", 1, "--", "--data", "blind", "sam_group", "--work-dir", "failing"
    )
    assert code == 1
    assert "blind" in complained
    assert (at / "failing" / "lavis_sam" / "lavis_sam_sam_group_scores.json").is_file()
