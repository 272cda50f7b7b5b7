"""`lavis-sam synthesize-questions`: what it writes and says, and an error for another folder."""

import json

import pytest
from typer.testing import CliRunner

from helpers.command_line import call
from helpers.pretraining import scene_sample, write_samples
from lavis_sam.cli import app
from lavis_sam.errors import SamConfigurationError, SamDataError


def test_it_writes_both_files_and_says_how_many(tmp_path):
    write_samples(tmp_path, [scene_sample(0), scene_sample(1, "blue")])
    said = call("synthesize-questions", str(tmp_path), "--num", "3", "--validation", "0.5")
    for name in ("questions.json", "questions_val.json"):
        assert len(json.loads((tmp_path / name).read_text())) == 3
        assert f"{tmp_path / name}: 3 questions" in said


def test_questions_about_two_images(tmp_path):
    write_samples(tmp_path, [scene_sample(number) for number in range(4)])
    said = call("synthesize-questions", str(tmp_path), "--num", "3", "--num-images", "2", "--validation", "0.5")
    for name in ("shared_2.json", "shared_2_val.json"):
        assert len(json.loads((tmp_path / name).read_text())) == 6
        assert f"{tmp_path / name}: 6 questions" in said


def test_without_needs_several_images(tmp_path):
    write_samples(tmp_path, [scene_sample(0)])
    with pytest.raises(SamConfigurationError, match="give --num-images 2 or 5 too"):
        CliRunner().invoke(
            app, ["synthesize-questions", str(tmp_path), "--without", str(tmp_path)], catch_exceptions=False
        )


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(SamDataError, match=r"no samples\.jsonl"):
        CliRunner().invoke(app, ["synthesize-questions", str(tmp_path)], catch_exceptions=False)
