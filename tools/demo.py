"""What the software is for, in three minutes: `python tools/demo.py` (or `make demo`) makes output/demo/index.html.

Draws images, trains SAM's layers on the embedded base for a short while, then asks the base alone and with its trained
layers about images that nobody trained on. Everything is made by the commands that the README shows.
"""

import html
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.datasets.records import read_records
from lavis_sam.files import write_json, write_text
from lavis_sam.pages import document, inline_image
from lavis_sam.plotting import figure
from lavis_sam.predictor import SamPredictor

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "projects" / "sam" / "tiny"
OUT = Path("output/demo")
TRAINING_PAIRS, STEPS_AN_EPOCH, EPOCHS = 96, 6, 8
# Held-out set -> its configuration, how many samples, and a heading.
HELD_OUT = {
    "pairs": ("held_out_pairs", 6, "Two images, one object in both"),
    "groups": ("groups", 3, "Five images, one object in all"),
    "stories": ("stories", 3, "Three panels of a story, and what happens in the last"),
}
LABELS = {"wanted": "True answer", "base": "Base alone", "sam": "With SAM"}
STYLE = """
figure { margin: 0 0 2rem; overflow-x: auto; }
figure img { height: 150px; margin: 0 .4rem .4rem 0; border-radius: 4px; }
.wide img { height: auto; max-width: 100%; } .sam { background: #eef6ee; } .muted { color: #777; }
td:first-child { white-space: nowrap; color: #777; }
"""
Answer = Mapping[str, Any]


def run(*command: str) -> None:
    """Runs a command of the package; its output goes to ours."""
    print("\n$", *command, flush=True)
    done = subprocess.run([sys.executable, "-m", *command], check=False)
    if done.returncode:
        sys.exit(f"demo: `{' '.join(command)}` ended with {done.returncode}; what it wrote stands above.")


def draw(name: str, config: str, num: int) -> Path:
    """Draws a data set, or finds it drawn."""
    folder = OUT / "data" / name
    config_file = str(CONFIGS / "data" / f"{config}.yaml")
    run("lavis_sam.cli", "synthesize", "--out", str(folder), "--num", str(num), "--config", config_file, "--resume",
        "--seed", "1")  # fmt: skip
    return folder


def train(pairs: Path) -> list[float]:
    """Trains SAM's layers on the base alone; returns the loss of each step."""
    folder = OUT / "training"
    shutil.rmtree(folder, ignore_errors=True)
    options = {
        "run.output_dir": str(OUT), "run.job_id": "training", "run.resume": "null", "run.log_freq": "6",
        "run.max_epoch": str(EPOCHS), "run.batch_size_train": str(TRAINING_PAIRS // STEPS_AN_EPOCH),
        "run.warmup_steps": "6", "run.checkpoint_steps": "null", "run.feature_cache": "null",
        "datasets.mmlink.build_info.images.storage": str(pairs),
        "datasets.mmlink.build_info.annotations.train.storage": str(pairs / "annotations.json"),
    }  # fmt: skip
    run("lavis.train", "--cfg-path", str(CONFIGS / "align.yaml"), "--options",
        *(f"{key}={value}" for key, value in options.items()))  # fmt: skip
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [event["loss"] for event in events if event["event"] == "train"]


def last_pass(losses: Sequence[float]) -> float:
    """The mean loss of the last pass over the pairs."""
    return sum(losses[-STEPS_AN_EPOCH:]) / STEPS_AN_EPOCH


def samples_of(folder: Path) -> list[dict[str, Any]]:
    """The samples of a drawn set, in order."""
    problems: list[Any] = []
    return [sample for _, sample in read_records(folder / "samples.jsonl", problems)]


def ask(folder: Path, models: Mapping[str, SamPredictor]) -> list[Answer]:
    """Each sample's question with the answers of all models."""
    samples = samples_of(folder)
    images = [[str(folder / image["file"]) for image in sample["pictures"]] for sample in samples]
    questions = [sample["instruction"] for sample in samples]
    answers = {name: model.caption(images, questions, num_beams=1, max_length=48) for name, model in models.items()}
    return [
        {
            "images": images[index],
            "question": sample["instruction"],
            "wanted": sample["output"],
            **{name: said[index] for name, said in answers.items()},
        }
        for index, sample in enumerate(samples)
    ]


def page(losses: Sequence[float], answers: Mapping[str, Sequence[Answer]], drawn: bytes) -> str:
    """The page's markup."""
    return document("lavis_sam: several images, read together", STYLE, "".join(_parts(losses, answers, drawn)))


def _parts(losses: Sequence[float], answers: Mapping[str, Sequence[Answer]], drawn: bytes) -> Iterator[str]:
    yield (
        "<p>SAM lets the other images guide what is read from each one. Here the embedded model, five million "
        "parameters trained on drawn images, answers about images that nobody trained on: with its base alone, and "
        "with SAM's layers, guided by the other images. It is small, and it errs; read its answers beside the "
        "images.</p>"
    )
    for name, given in answers.items():
        yield f"<h2>{HELD_OUT[name][2]}</h2>"
        yield from (_case(answer) for answer in given)
    yield "<h2>What guides what</h2><p>The first pair: which patches of an image guide what is read from the other.</p>"
    yield f"<figure class=wide>{inline_image(drawn, 'png', 'heat maps of the guidance')}</figure>"
    yield (
        f"<h2>Training</h2><p>{EPOCHS} passes over {TRAINING_PAIRS} pairs, just now, with SAM's layers starting from "
        f"nothing: the loss was {losses[0]:.2f} at the first step and {last_pass(losses):.2f} in the last pass. The "
        "layers that answered above were trained for longer with the same file, projects/sam/tiny/align.yaml.</p>"
    )
    yield f"<figure class=wide>{inline_image(_curve(losses), 'png', 'the loss over the steps')}</figure>"


def _case(answer: Answer) -> str:
    images = "".join(
        inline_image(Path(path).read_bytes(), "jpeg", "an image of the sample") for path in answer["images"]
    )
    rows = "".join(
        f'<tr class="{kind}"><td>{label}</td><td>{html.escape(answer[kind])}</td></tr>'
        for kind, label in (
            ("question", "Asked"),
            ("wanted", "True answer"),
            ("base", "Base alone"),
            ("sam", "With SAM"),
        )
    )
    return f"<figure>{images}<table>{rows}</table></figure>"


def _curve(losses: Sequence[float]) -> bytes:
    drawn, buffer = figure(7, 2.6), io.BytesIO()
    axes = drawn.subplots()
    axes.plot(losses)
    axes.set(xlabel="step", ylabel="loss")
    drawn.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def main() -> None:
    """Draws, trains, asks, and writes the page; its path is the last line."""
    losses = train(draw("training_pairs", "pairs", TRAINING_PAIRS))
    models = {
        "base": SamPredictor.from_pretrained("tiny", device="cpu", settings={"finetuned": ""}),
        "sam": SamPredictor.from_pretrained("tiny", device="cpu"),
    }
    answers = {name: ask(draw(name, config, num), models) for name, (config, num, _) in HELD_OUT.items()}
    first = answers["pairs"][0]
    buffer = io.BytesIO()
    models["sam"].explain(first["images"], first["question"]).draw().save(buffer, format="PNG")
    write_json(OUT / "answers.json", {"losses": losses, **answers})
    write_text(OUT / "index.html", page(losses, answers, buffer.getvalue()))
    for given in answers.values():
        print(f"\nAsked        {given[0]['question']}")
        for kind, label in LABELS.items():
            print(f"{label:12} {given[0][kind]}")
    print(f"\nLoss of the training: {losses[0]:.2f} at the first step, {last_pass(losses):.2f} in the last pass.")
    print((OUT / "index.html").resolve())


if __name__ == "__main__":
    main()
