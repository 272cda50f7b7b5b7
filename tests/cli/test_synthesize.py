"""`lavis-sam synthesize` and `lavis-sam synthesize-report` on fake backends; real ones are an integration test's."""

import importlib.util
import json

import pytest
import yaml

from helpers.synthesis import config


@pytest.fixture
def fake_config(tmp_path):
    path = tmp_path / "fakes.yaml"
    path.write_text(yaml.safe_dump(config()))
    return path


def test_a_run_and_its_report(run, fake_config, tmp_path):
    out = tmp_path / "set"
    code, stdout, stderr = run("synthesize", "--out", out, "--num", 6, "--config", fake_config, "--workers", 1)
    assert code == 0
    assert f"6 samples in {out}" in stdout
    assert "6/6 samples" in stderr
    code, stdout, _ = run("synthesize-report", out)
    assert code == 0
    assert stdout.strip() == str(out / "report.html")
    assert (out / "report.html").stat().st_size > 10_000


def test_json_is_the_manifest_and_nothing_else(run, fake_config, tmp_path):
    out = tmp_path / "set"
    arguments = ("synthesize", "--out", out, "--num", 3, "--config", fake_config, "--workers", 0, "--json")
    code, stdout, _ = run(*arguments, "--kinds", "icons, covers", "--seed", 9)
    assert code == 0
    assert json.loads(stdout) == json.loads((out / "manifest.json").read_text())
    assert set(json.loads(stdout)["kinds"]) == {"icons", "covers"}


def test_places_that_stay_empty_exit_with_1(run, tmp_path):
    path = tmp_path / "hard.yaml"
    path.write_text(yaml.safe_dump(config(quality={"composite.visible": {"min": 0.9}}, kinds={"icons": 1})))
    code, stdout, _ = run("synthesize", "--out", tmp_path / "set", "--num", 2, "--config", path, "--workers", 0)
    assert code == 1
    assert "2 places could not be filled" in stdout
    assert "12 x composite.visible (composite)" in stdout


def test_a_report_about_two_sets_needs_a_file_and_names(run, fake_config, tmp_path):
    for name in ("one", "two"):
        assert run("synthesize", "--out", tmp_path / name, "--num", 2, "--config", fake_config, "--workers", 0)[0] == 0
    code, _, stderr = run("synthesize-report", tmp_path / "one", tmp_path / "two")
    assert code == 2
    assert "--out: missing" in stderr
    out = tmp_path / "page.html"
    code, stdout, _ = run("synthesize-report", f"embedded={tmp_path / 'one'}", tmp_path / "two", "--out", out)
    assert (code, stdout.strip()) == (0, str(out))
    assert "<h1>embedded and two</h1>" in out.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "nothing"], "unknown configuration 'nothing'"),
        (["--kinds", "icons,cats"], "unknown kind 'cats'"),
        (["--kinds", ","], "--kinds: found none"),
        (["--num", "0"], "greater than or equal to 1"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_2(run, tmp_path, options, message):
    code, _, stderr = run("synthesize", "--out", tmp_path / "set", "--num", 2, *options)
    assert code == 2
    assert message in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("words", [("synthesize", "--out", "set", "--num", "1"), ("synthesize-report", "set")])
def test_a_missing_package_is_one_line(run, monkeypatch, words):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imagehash" else found(name))
    code, _, stderr = run(*words)
    assert code == 2
    assert "synthesis needs imagehash" in stderr
    assert "lavis_sam[synthesis]" in stderr


def test_a_report_about_nothing_exits_with_2(run, tmp_path):
    code, _, stderr = run("synthesize-report", tmp_path)
    assert code == 2
    assert "wanted a finished data set" in stderr


def test_a_dry_run_of_the_paper_says_what_is_missing_and_makes_nothing(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    code, stdout, _ = run("synthesize", "--config", "mmlink_paper", "--dry-run")
    assert code == 1
    assert "1,000 calls of diffusers" in stdout
    assert "2,000 of them are requests to a service." in stdout
    assert "missing: " in stdout
    assert "stages.segment" in stdout
    assert stdout.splitlines()[-1] == "Hours: unknown while parts are missing."
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_what_is_all_there_counts_as_json(run, fake_config):
    code, stdout, _ = run("synthesize", "--config", fake_config, "--num", 10, "--dry-run", "--json")
    assert code == 0
    assert json.loads(stdout)["missing"] == []
    assert json.loads(stdout)["hours"]["seconds_a_call"]["inpaint"] > 0
    code, stdout, _ = run("synthesize", "--config", fake_config, "--num", 10, "--dry-run")
    assert code == 0
    assert "Hours of this machine's processor, one worker, from 2 samples measured here:" in stdout


def test_only_a_dry_run_does_without_a_folder(run, fake_config):
    code, _, stderr = run("synthesize", "--config", fake_config, "--num", 10)
    assert code == 2
    assert "--out DIR" in stderr


def test_a_finished_set_is_copied_to_an_address_and_again_with_resume(run, fake_config, tmp_path):
    words = ("synthesize", "--out", tmp_path / "set", "--num", 2, "--config", fake_config, "--workers", 0)
    url = f"file://{tmp_path / 'copy'}"
    code, _, stderr = run(*words, "--copy-to", url)
    assert code == 0
    assert "files copied" in stderr
    assert (tmp_path / "copy" / "manifest.json").read_bytes() == (tmp_path / "set" / "manifest.json").read_bytes()
    code, _, stderr = run(*words, "--resume", "--copy-to", url)
    assert code == 0
    assert f"{url}: 0 files copied" in stderr


@pytest.mark.parametrize(("more", "message"), [([], "no file system"), (["--part-of", "1/2"], "share is no data set")])
def test_an_address_that_cannot_be_is_refused_before_anything_is_made(run, fake_config, tmp_path, more, message):
    words = ("synthesize", "--out", tmp_path / "set", "--num", 2, "--config", fake_config, "--workers", 0, *more)
    code, _, stderr = run(*words, "--copy-to", "nothing://bucket")
    assert code == 2
    assert message in stderr
    assert not (tmp_path / "set").exists()


def test_actors_of_an_unknown_stage_are_refused_before_anything_is_made(run, tmp_path):
    words = ("--runner", "ray", "--actors", "segment,paint=1")
    code, _, stderr = run("synthesize", "--out", tmp_path / "set", "--num", 2, *words)
    assert code == 2
    assert "unknown stage 'paint'" in stderr
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("options", [("--address", "auto"), ("--gpus-per-worker", "0.5"), ("--actors", "score")])
def test_options_of_ray_are_refused_without_it(run, tmp_path, options):
    code, _, stderr = run("synthesize", "--out", tmp_path / "set", "--num", 2, *options)
    assert code == 2
    assert f"{options[0]}: it is for the runner ray" in stderr
    assert not (tmp_path / "set").exists()
