"""What both programs do: arguments in, exit code and one clear line out."""

import shlex
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
            "none.json: no such file or folder; put the data there, set this key, or give --data DIR.",
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


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("run_scripts/*.sh")), ids=lambda path: path.name)
def test_options_of_a_script_and_of_its_user_both_count(path):
    words = shlex.split(path.read_text().splitlines()[-1].replace('"$@"', "--options run.seed=7"))
    module = next(word for word in words if word in ("lavis.train", "lavis.evaluate"))
    own = [word for word in words if word.startswith("run.") and word != "run.seed=7"]
    found = build_parser(module, "").parse_args(words[words.index("--cfg-path") :]).options
    assert found == [*own, "run.seed=7"]
