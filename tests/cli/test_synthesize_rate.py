"""`lavis-sam synthesize-rate` and `lavis-sam synthesize-agreement`."""

import json

import pytest
import yaml

from helpers.ratings import write_ratings
from helpers.synthesis import config


@pytest.fixture
def made(run, tmp_path):
    path = tmp_path / "fakes.yaml"
    path.write_text(yaml.safe_dump(config()))
    code, _, stderr = run("synthesize", "--out", tmp_path / "set", "--num", 4, "--config", path, "--workers", 0)
    assert code == 0, stderr
    return tmp_path / "set"


def test_a_page_is_written_and_ratings_are_judged(run, made, tmp_path):
    code, stdout, _ = run("synthesize-rate", made, "--num", 3)
    assert (code, stdout.strip()) == (0, f"{made / 'rate.html'}: 3 samples")
    said = {"000000": (True, True), "000001": (False, True)}
    files = [write_ratings(tmp_path / f"{rater}.json", made, rater, said) for rater in ("Ada", "Ben")]
    code, stdout, _ = run("synthesize-agreement", made, *files, "--out", tmp_path / "judged")
    assert code == 0
    assert "Ada and Ben, images: kappa 1.00 on 2 samples" in stdout
    assert "Ada and Ben, text: kappa not defined on 2 samples" in stdout
    assert (tmp_path / "judged" / "agreement.html").is_file()
    code, stdout, _ = run("synthesize-agreement", made, *files, "--config", "mmlink", "--json")
    assert code == 0
    assert json.loads(stdout) == json.loads((made / "agreement.json").read_text())
    by = {(check["score"], check["side"]): check for check in json.loads(stdout)["checks"]}
    assert by["composite.inside", "min"]["now"]["threshold"] == 0.995


def test_ratings_of_another_set_exit_with_2(run, made, tmp_path):
    other = write_ratings(tmp_path / "a.json", made, "Ada", {}, samples="0" * 64)
    code, _, stderr = run("synthesize-agreement", made, other)
    assert code == 2
    assert "of another data set" in stderr
    assert not (made / "agreement.html").exists()


def test_a_page_about_nothing_exits_with_2(run, tmp_path):
    code, _, stderr = run("synthesize-rate", tmp_path)
    assert code == 2
    assert "wanted a finished data set" in stderr
