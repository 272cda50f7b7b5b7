"""What both programs do: arguments in, exit code and one clear line out."""

from pathlib import Path

import pytest

from lavis_sam import evaluate, train
from lavis_sam.entry import build_parser

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = str(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml")


@pytest.mark.parametrize(("program", "name"), [(train.main, "lavis.train"), (evaluate.main, "lavis.evaluate")])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cfg-path", "nowhere.yaml"], "--cfg-path: nowhere.yaml cannot be read"),
        (["--cfg-path", TINY, "--options", "run.runner=runner_spam"], "unknown runner 'runner_spam'"),
        (["--cfg-path", TINY, "--options", "run.task=captions"], "unknown task 'captions'"),
        (["--cfg-path", TINY, "--options", "model.arch=blip3"], "unknown model 'blip3'"),
        (["--cfg-path", TINY, "--options", "run.max_epoch"], "--options: found"),
        (
            ["--cfg-path", TINY, "--options", "datasets.mmlink.build_info.annotations.test.storage=none.json"],
            "none.json: no such file or folder",
        ),
    ],
)
def test_our_errors_are_one_message_and_exit_code_2(capsys, tmp_path, monkeypatch, program, name, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert program(arguments) == 2
    written = capsys.readouterr().err
    assert f"{name}: error: " in written
    assert message in written
    assert "Traceback" not in written
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", [train.main, evaluate.main])
def test_the_configuration_file_is_required(capsys, program):
    with pytest.raises(SystemExit) as caught:
        program([])
    assert caught.value.code == 2
    assert "--cfg-path" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["lavis.train", "lavis.evaluate"])
def test_every_options_of_the_command_line_counts(program):
    words = ["--cfg-path", "x", "--options", "a.b=1", "c.d=2", "--options", "e.f=3"]
    assert build_parser(program, "").parse_args(words).options == ["a.b=1", "c.d=2", "e.f=3"]
