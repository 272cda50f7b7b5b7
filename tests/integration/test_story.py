"""`make story` in short: few images, two rows, one seed; killed between, it goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path("tools").resolve()))
import make_story
make_story.IMAGES, make_story.VALIDATION = 80, 0.5
# So few images have no fives.
del make_story.QUESTIONS[5], make_story.SETS["images/shared_5_val.json"], make_story.TRAINING["training_fives.json"]
make_story.HELD_OUT = dict.fromkeys(make_story.HELD_OUT, 2)
make_story.SWEEPS = {"story": Path("sweep.yaml")}
make_story.main([])
"""
ROWS = """
config: projects/sam/tiny/story.yaml
rows:
  base: {title: 1 base, train: false, options: {model.guidance.extractor: none}}
  sam_others: {title: "7 SAM, others", options: {model.guidance.context: others}}
"""

pytestmark = pytest.mark.integration


def make_story(folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SHORT], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("story")
    (folder / "projects").symlink_to(REPOSITORY / "projects")
    (folder / "tools").symlink_to(REPOSITORY / "tools")
    (folder / "sweep.yaml").write_text(ROWS)
    return folder, make_story(folder)


def test_it_says_how_often_each_row_names_what_is_shared(made):
    folder, said = made
    found = json.loads((folder / "output" / "story" / "story.json").read_text())
    assert found["rows"] == {"base": "1 base", "sam_others": "7 SAM, others"}
    assert set(found["sets"]) == {
        "pairs, icons seen",
        "pairs, icons held out",
        "fives, icons held out",
    }  # too few fives
    for rows in found["sets"].values():
        for row in found["rows"]:
            assert rows[row]["count"] > 0
            assert 0 <= rows[row]["seeds"]["0"] <= 1
    assert "| row | pairs, icons seen | pairs, icons held out | fives, icons held out |" in said
    assert (folder / "output" / "story" / "report.html").is_file()


def test_nothing_is_made_twice(made):
    folder, _ = made
    (run,) = (folder / "output" / "story" / "sam_others").glob("seed-0/checkpoint*.pth")
    before = run.stat().st_mtime_ns
    make_story(folder)
    assert before == run.stat().st_mtime_ns
