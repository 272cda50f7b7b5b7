"""The commands of docs/install.md, serving.md, training.md, synthesis/backends.md and synthesis/judging.md run.

With the embedded model, few samples, this machine alone and two GPUs in the place of eight (on Ray's cluster eight that
it only counts, two workers, and no scores, which the embedded backends do not have); nothing else is changed.
"""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from helpers.documentation import blocks
from helpers.environments import REPOSITORY
from helpers.ratings import write_ratings
from helpers.serving import png
from helpers.synthesis import folder_digest
from lavis_sam.files import load_json
from lavis_sam.training.metric_log import read_metric_log
from lavis_sam.weights.packaged import PACKAGE

pytestmark = pytest.mark.integration
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
}
SMALLER = (
    ("vicuna7b", "tiny"),
    ("--host 0.0.0.0", "--host 127.0.0.1"),
    ("0 1 2 3 4 5 6 7", "0 1"),
    ("--num 8625", "--num 2"),
    ("--num 300", "--num 4"),
    ("--num 200", "--num 4"),
)


def smaller(text):
    for large, small in SMALLER:
        text = text.replace(large, small)
    return text


def run(command, folder):
    done = subprocess.run(
        ["bash", "-euc", smaller(command)], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def of(page, kind):
    found = [block for block in blocks(f"docs/{page}") if block.kind == kind]
    assert found
    return found


def test_the_check_of_an_installation(tmp_path):
    (block,) = [block for block in blocks("docs/install.md") if block.marker == "installed"]
    for line in block.lines:
        assert "torch" in run(line, tmp_path)


@contextmanager
def served(command, folder):
    """Start a server of the page at a free port; its address."""
    words = ["bash", "-c", f"exec {smaller(command)} --port 0 --device cpu"]
    process = subprocess.Popen(words, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r" at (http://127\.0\.0\.1:\d+/v1)$", line)
        assert found, line
        yield found[1]
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_both_servers_answer_the_client_of_the_page(tmp_path):
    (shell,), (client,) = of("serving.md", "bash"), of("serving.md", "python")
    run("lavis-sam export --model tiny --out my_adapter", tmp_path)
    (tmp_path / "key.txt").write_text("sk-1\n")
    for seed, name in enumerate(("one.jpg", "two.jpg")):
        (tmp_path / name).write_bytes(png(seed))
    assert len(shell.lines) == 2
    for line, key in zip(shell.lines, ("any", "sk-1"), strict=True):
        with served(line, tmp_path) as url:
            environment = {**ENVIRONMENT, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": key}
            done = subprocess.run(
                [sys.executable, "-c", client.text], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()


def test_a_set_is_made_in_parts_as_backends_md_says(tmp_path):
    (block,) = of("synthesis/backends.md", "bash")
    (tmp_path / "my.yaml").write_text("base: mmlink\n")
    run(block.text, tmp_path)
    assert [len(load_json(tmp_path / f"data/mmlink-{part}/annotations.json")) for part in (0, 1)] == [2, 2]


def test_one_set_is_made_on_a_ray_cluster_as_backends_md_says(tmp_path, monkeypatch):
    (block,) = [block for block in blocks("docs/synthesis/backends.md") if block.marker == "ray"]
    (tmp_path / "my.yaml").write_text("base: mmlink\n")
    command = block.text.strip()
    for large, small in (("--num 69000", "--num 4"), ("--workers 24", "--workers 2"), ("score=2x0.25,", "")):
        assert large in command
        command = command.replace(large, small)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 20, "num_gpus": 8, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    try:
        monkeypatch.setitem(ENVIRONMENT, "RAY_ADDRESS", cluster.address)
        run(command, tmp_path)
    finally:
        cluster.shutdown()
    run("lavis-sam synthesize --config my.yaml --out data/alone --num 4 --workers 0", tmp_path)
    assert folder_digest(tmp_path / "data" / "mmlink") == folder_digest(tmp_path / "data" / "alone")


def test_the_commands_of_judging_md(tmp_path):
    """Between them, what people do: they rate."""
    run("lavis-sam synthesize --out data/mmlink --num 3 --workers 0", tmp_path)
    for name in ("mmlink_paper", "spot_the_diff"):
        shutil.copytree(tmp_path / "data" / "mmlink", tmp_path / "data" / name)
    unjudged = tmp_path / "data" / "unjudged"
    for line in (line for block in of("synthesis/judging.md", "bash") for line in block.lines):
        if "synthesize-agreement" in line:
            names = [str(record["id"]) for record in load_json(unjudged / "annotations.json")]
            for rater in ("ada", "bob"):
                verdicts = {name: (place > 0, True) for place, name in enumerate(names)}
                write_ratings(tmp_path / f"ratings_{rater}.json", unjudged, rater, verdicts)
        run(line, tmp_path)
    wanted = ("backends.html", "diversity.html", "data/unjudged/rate.html", "data/unjudged/agreement.html")
    assert [name for name in wanted if not (tmp_path / name).is_file()] == []
    assert load_json(unjudged / "agreement.json")["raters"]
    assert load_json(tmp_path / "diversity.json")


def test_the_recipe_with_a_device_map_trains_as_training_md_says(tmp_path):
    """Without a GPU `auto` lets the whole language model wait in the machine's memory."""
    (block,) = [block for block in blocks("docs/training.md") if block.marker == "device-map"]
    (tmp_path / "projects").symlink_to(REPOSITORY / "projects")
    shutil.copytree(PACKAGE / "assets" / "photographs", tmp_path / "data" / "mmlink")
    tiny = "model.model_type=tiny model.precision=fp32 datasets.mmlink.vis_processor.train.image_size=112"
    run(f"{block.text.strip()} {tiny} run.num_workers=0", tmp_path)
    (log,) = tmp_path.glob("output/sam/mmlink/*/log.jsonl")
    assert [event["step"] for event in read_metric_log(log) if event["event"] == "train"] == [0, 1, 2, 3]
    assert "device_map: auto" in (log.parent / "config.yaml").read_text()
