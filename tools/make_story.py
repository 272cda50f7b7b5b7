"""The experiment of docs/story.md: `python tools/make_story.py` (or `make story`) makes output/story*/story.json.

Draws its data into data/story, runs projects/sam/ablations/story*.yaml one after the other (killed, it goes on where it
was), writes the page of each sweep, and then says how often each row names the icon that the images share: the mean
over seeds and its 95 % interval. Names of sweeps do these alone: `python tools/make_story.py story_figure5`.
"""

import io
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.experiments.findings import findings, interval
from lavis_sam.experiments.jobs import FINISHED
from lavis_sam.files import read_json, write_bytes, write_json
from lavis_sam.plotting import draw_surface, figure
from lavis_sam.run_layout import results_of
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.quality import mentions

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "projects" / "sam" / "tiny" / "data"
ABLATIONS = ROOT / "projects" / "sam" / "ablations"
# What is run: sweep -> its file. Each has a folder of its name.
SWEEPS = {name: ABLATIONS / f"{name}.yaml" for name in ("story", "story_figure5", "story_fives")}
DATA, OUT = Path("data/story"), Path("output")
# Images to make questions of; the last tenth of them is for evaluation.
IMAGES, VALIDATION = 4096, 0.1
# Number of images of a question -> how many questions begin with an image.
QUESTIONS = {2: 2, 5: 1}
# Set of icons that no training question is about -> how many samples.
HELD_OUT = {"held_out_pairs": 100, "held_out_groups": 60}
# What is trained on: file of data/story -> the file that it repeats.
TRAINING = {"training.json": "images/shared_2.json", "training_fives.json": "images/shared_5.json"}
# Samples of each set that is evaluated.
MOST = 300
# Folder -> the configuration that it is drawn by.
DRAWN = {"images": "icons", "held_out_pairs": "pairs", "held_out_groups": "groups"}
# What is evaluated: files of data/story -> what the tables call them. "Seen": the icons, not the images.
SETS = {
    "images/shared_2_val.json": "pairs, icons seen",
    "images/shared_5_val.json": "fives, icons seen",
    "held_out_pairs/annotations.json": "pairs, icons held out",
    "held_out_groups/annotations.json": "fives, icons held out",
}
FILE, REMEDY = "story.json", "Run `make story` again."


def run(*command: str) -> None:
    """Runs a command of the package; its output goes to ours."""
    print("\n$ lavis-sam", *command, flush=True)
    done = subprocess.run([sys.executable, "-m", "lavis_sam.cli", *command], check=False)
    if done.returncode:
        sys.exit(f"story: `lavis-sam {' '.join(command)}` ended with {done.returncode}; what it wrote stands above.")


def draw() -> None:
    """Makes whatever of data/story is not there yet."""
    for name, num in {"images": IMAGES, **HELD_OUT}.items():
        config, folder = str(CONFIGS / f"story_{DRAWN[name]}.yaml"), str(DATA / name)
        run("synthesize", "--config", config, "--num", str(num), "--seed", "1", "--out", folder, "--resume")
    without = [word for name in HELD_OUT for word in ("--without", str(DATA / name))]
    for num_images, num in QUESTIONS.items():
        run("synthesize-questions", str(DATA / "images"), "--num-images", str(num_images), "--num", str(num),
            "--validation", str(VALIDATION), *without)  # fmt: skip
    joined: dict[str, tuple[list[str], tuple[str, ...]]] = {file: ([part], ()) for file, part in TRAINING.items()}
    joined["evaluation.json"] = (list(SETS), ("--most", str(MOST)))
    for file, (parts, most) in joined.items():
        if not (DATA / file).exists():
            run("data", "join", str(DATA / file), *(str(DATA / name) for name in parts), *most)


def shared_labels(data: Path) -> dict[str, str]:
    """Sample of the evaluation -> the one label that all its images share."""
    shown, labels = {}, {}
    for name in ("images", *HELD_OUT):
        for sample in read_lines(data / name / SAMPLES):
            objects = sample["objects"]
            for image in sample["pictures"]:
                shown[f"{name}/{image['file']}"] = {objects[placed["object"]]["label"] for placed in image["objects"]}
    for record in read_json(data / "evaluation.json", remedy=REMEDY, wanted=list):
        (labels[record["id"]],) = set.intersection(*(shown[name] for name in record["img_list"]))
    return labels


def story(out: Path, data: Path) -> dict[str, Any]:
    """What a sweep says: `rows`, their `layers`, and `sets`: set -> row -> count, mean, low, high, seeds."""
    found, labels = findings(out), shared_labels(data)
    values: dict[tuple[str, str], dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for ended in found["runs"]:
        if ended["status"] != FINISHED:
            continue
        results = results_of(out / ended["row"] / f"seed-{ended['seed']}")
        (answers,) = results.rglob("pred.json")
        for entry in read_json(answers, remedy=REMEDY, wanted=list):
            name = SETS[entry["sample_id"].partition(": ")[0]]
            named = mentions(entry["pred_response"], labels[entry["sample_id"]])
            values[name, ended["row"]][ended["seed"]].append(named)
    sets: dict[str, Any] = {}
    for (name, row), by_seed in values.items():
        shares = {str(seed): sum(named) / len(named) for seed, named in sorted(by_seed.items())}
        count = len(next(iter(by_seed.values())))
        sets.setdefault(name, {})[row] = {"count": count, **interval(list(shares.values())), "seeds": shares}
    keys = ("model.guidance.layer_l", "model.guidance.layer_k")
    layers = {row: [options.get(key) for key in keys] for row, options in found["options"].items()}
    return {"rows": found["rows"], "layers": layers, "sets": sets}


def table(found: Mapping[str, Any]) -> str:
    """Rows by sets in per cent, in Markdown; behind the mean half the width of its 95 % interval over seeds."""
    sets = [name for name in SETS.values() if name in found["sets"]]
    lines = [f"| row | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for row, title in found["rows"].items():
        lines.append(f"| {title} | {' | '.join(_cell(found['sets'][name].get(row)) for name in sets)} |")
    return "\n".join(lines)


def places(found: Mapping[str, Any]) -> dict[tuple[int, int], Any]:
    """Figure 5's rows: layers (l, k) -> the entry of the first set; empty where rows are of one place."""
    rows = found["sets"][next(iter(SETS.values()))]
    layers = {row: tuple(found["layers"][row]) for row in rows if None not in found["layers"][row]}
    varied = all(len({place[axis] for place in layers.values()}) > 1 for axis in (0, 1))
    return {place: rows[row] for row, place in layers.items()} if varied else {}


def surface(found: Mapping[str, Any]) -> str:
    """Figure 5 in Markdown: the first set over the layers l (down) and k (across); "" where rows are of one place."""
    entries = places(found)
    ls, ks = (sorted({place[axis] for place in entries}) for axis in (0, 1))
    lines = ["| | " + " | ".join(f"k = {k}" for k in ks) + " |", "|---" * (len(ks) + 1) + "|"]
    lines += [f"| l = {row} | " + " | ".join(_cell(entries.get((row, k))) for k in ks) + " |" for row in ls]
    return "\n".join(lines) if entries else ""


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    spread = "" if entry["low"] is None else f" ± {50 * (entry['high'] - entry['low']):.1f}"
    return f"{100 * entry['mean']:.1f}{spread}"


def chart(found: Mapping[str, Any]) -> bytes:
    """The first set as bars with their intervals, or as Figure 5's surface, PNG."""
    name, entries, buffer = next(iter(SETS.values())), places(found), io.BytesIO()
    if entries:
        drawn = figure(4.2, 3.6)
        axes = drawn.subplots()
        draw_surface(axes, {place: 100 * entry["mean"] for place, entry in entries.items()}, digits=1)
        axes.set_title(f"{name}: shared icon named, %", fontsize=10)
    else:
        rows = {found["rows"][row]: entry for row, entry in found["sets"][name].items()}
        drawn = figure(8, 0.32 * len(rows) + 0.9)
        axes = drawn.subplots()
        means = [100 * entry["mean"] for entry in rows.values()]
        halves = [50 * ((entry["high"] or 0) - (entry["low"] or 0)) for entry in rows.values()]
        colours = ["#3b7d4f" if "others" in title else "#8a93a0" for title in rows]
        axes.barh(list(rows), means, xerr=halves, color=colours, height=0.65)
        axes.invert_yaxis()
        axes.set_xlabel(f"{name}: shared icon named, %")
    drawn.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def main(words: Sequence[str]) -> None:
    """Draws, trains, evaluates, and prints the tables; with --results-only the tables alone, of what is finished."""
    names = [word for word in words if word != "--results-only"] or list(SWEEPS)
    if unknown := [name for name in names if name not in SWEEPS]:
        sys.exit(f"story: found {', '.join(unknown)}, wanted none or some of {', '.join(SWEEPS)}, or --results-only.")
    if "--results-only" not in words:
        draw()
    for name in names:
        out = OUT / name
        if "--results-only" not in words:
            run("sweep", str(SWEEPS[name]), "--out", str(out), "--jobs", "2")
            run("report", str(out))
        found = story(out, DATA)
        write_json(out / FILE, found)
        write_bytes(out / "story.png", chart(found))
        print(f"\n{name}: shared icon named, %\n{table(found)}\n\n{surface(found)}\n{out / FILE}")


if __name__ == "__main__":
    main(sys.argv[1:])
