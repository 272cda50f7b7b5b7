"""The command line as a whole: help, version, errors and exit codes."""

import subprocess
import sys

import pytest

from lavis_sam import __version__
from lavis_sam.cli import main
from lavis_sam.errors import SamDataError


def test_help_and_version_are_quick_and_load_no_heavy_library():
    code = (
        "import sys\n"
        "from lavis_sam.cli import main\n"
        "for arguments in (['--help'], ['--version'], ['parity', '--help'], []):\n"
        "    sys.argv = ['lavis-sam', *arguments]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "heavy = {'torch', 'transformers', 'lavis', 'numpy', 'omegaconf'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert f"lavis-sam {__version__}" in result.stdout


def test_a_process_that_calls_the_command_line_goes_on_after_it():
    """A test's or a notebook's, with PyTorch in it, is not the command's to end."""
    code = (
        "import sys, types\n"
        "sys.modules['torch'] = types.ModuleType('torch')\n"
        "from lavis_sam.cli import main\n"
        "sys.argv = ['lavis-sam', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    print('went on')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "went on"), result.stderr


def test_every_command_is_listed_and_has_an_example(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "parity" in out
    code, out, _ = run("parity", "--help")
    assert code == 0
    assert "lavis-sam parity tests/parity/fixtures --json" in out
    assert "FOLDER" in out


def test_an_error_is_one_line_and_exit_code_2(run, tmp_path, monkeypatch):
    monkeypatch.delenv("LAVIS_SAM_DEBUG", raising=False)
    code, out, err = run("parity", tmp_path / "none", "--json")
    assert code == 2
    assert out == ""
    assert err.startswith("lavis-sam: error: ")
    assert "there is no such folder" in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


def test_an_error_of_the_system_names_the_file_and_the_remedy(run, tmp_path, monkeypatch):
    monkeypatch.delenv("LAVIS_SAM_DEBUG", raising=False)
    code, _, err = run("serve", "--api-key-file", tmp_path / "none.txt")
    assert code == 2
    assert err == (
        f"lavis-sam: error: {tmp_path}/none.txt: No such file or directory. "
        "Check the path, its permissions and the room on the disk.\n"
    )


@pytest.mark.parametrize("way", ["option", "environment"])
def test_debugging_shows_the_traceback(monkeypatch, tmp_path, way):
    # Set before deleted, so that the option's effect on the environment is undone after the test.
    monkeypatch.setenv("LAVIS_SAM_DEBUG", "1")
    if way == "option":
        monkeypatch.delenv("LAVIS_SAM_DEBUG")
    option = ["--debug"] if way == "option" else []
    monkeypatch.setattr(sys, "argv", ["lavis-sam", *option, "parity", str(tmp_path / "none")])
    with pytest.raises(SamDataError):
        main()


def test_wrong_usage_names_the_value(run):
    code, _, err = run("score", "pred.json", "--resamples", "many")
    assert code == 2
    assert "'--resamples': 'many': " in err


def test_wrong_usage_says_so(run):
    code, _, err = run("party")
    assert code == 2
    assert "No such command" in err
    code, _, err = run("parity")
    assert code == 2
    assert "FOLDER" in err
