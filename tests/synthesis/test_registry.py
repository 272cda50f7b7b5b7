"""Names and options in a configuration become backends, or one message that says what is wrong with them."""

import subprocess
import sys

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.backends.embedded import U2NetpSegmenter
from lavis_sam.synthesis.configuration import Backend
from lavis_sam.synthesis.registry import make


def made(job, name, **options):
    return make(job, Backend(name, options), {"split": "train", "kind": job}, f"stages.{job}")


def test_a_name_and_its_options_become_a_backend():
    assert isinstance(made("segment", "u2netp", threads=2, side=96), U2NetpSegmenter)
    assert isinstance(made("segment", "lavis_sam.synthesis.backends.embedded:U2NetpSegmenter"), U2NetpSegmenter)
    assert made("score", "none") is None


@pytest.mark.parametrize(
    ("job", "name", "options", "message"),
    [
        ("segment", "u2nett", {}, r"stages\.segment\.backend.*'u2nett'.*Did you mean 'u2netp'"),
        ("segment", "u2netp", {"sides": 96}, r"unknown option 'sides'.*Did you mean 'side'"),
        ("segment", "u2netp", {"side": "96"}, r"stages\.segment\.side: found '96', wanted an integer"),
        ("segment", "u2netp", {"threads": True}, r"stages\.segment\.threads: found True, wanted an integer"),
        ("segment", "u2netp", {"side": 32}, r"stages\.segment\.side: found 32, wanted 64 or more"),
        ("characters", "folder", {}, r"stages\.characters\.root: missing; folder needs it"),
        ("characters", "folder", {"root": 3}, r"stages\.characters\.root: found 3, wanted a text"),
        ("segment", "no_such_package:Segmenter", {}, "cannot be imported"),
        ("segment", "lavis_sam.config.names:Segmenter", {}, "has no 'Segmenter' that can be called"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(job, name, options, message):
    with pytest.raises(SamConfigurationError, match=message):
        made(job, name, **options)


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("segment", "segment_anything"),
        ("segment", "segment_anything_2"),
        ("inpaint", "diffusers"),
        ("describe", "instructblip"),
        ("score", "clip"),
    ],
)
def test_a_model_that_is_not_here_is_one_clear_line(job, name, tmp_path):
    with pytest.raises(SamConfigurationError, match=rf"stages\.{job}\.model: missing; {name} needs it"):
        made(job, name)
    with pytest.raises(SamConfigurationError, match=rf"stages\.{job}\.model: .* Bring it with `hf download"):
        made(job, name, model=str(tmp_path / "nowhere"))


def test_models_are_named_without_torch(tmp_path):
    """A run's parent process names its backends and leaves the weights to the workers."""
    code = (
        "import sys\n"
        "from lavis_sam.synthesis.configuration import Backend\n"
        "from lavis_sam.synthesis.registry import make\n"
        "names = {'segment': 'segment_anything_2', 'inpaint': 'diffusers'}\n"
        "names |= {'describe': 'instructblip', 'score': 'clip'}\n"
        "for job, name in names.items():\n"
        f"    assert make(job, Backend(name, {{'model': {str(tmp_path)!r}}}), {{}}, job).version.startswith('1 ')\n"
        "heavy = {'torch', 'transformers', 'diffusers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr


def test_all_that_is_wrong_comes_at_once():
    with pytest.raises(SamConfigurationError) as caught:
        made("characters", "folder", licence=1, roots="x")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "path", ["os:system", "subprocess:getoutput", "builtins:eval", "lavis_sam.files:UnusableFileError"]
)
def test_what_cannot_be_a_backend_is_not_called(path, tmp_path):
    options = {"command": f"touch {tmp_path}/ran", "cmd": f"touch {tmp_path}/ran"}
    for option in options:
        with pytest.raises(SamConfigurationError, match="It was not called"):
            made("segment", path, **{option: options[option]})
    assert not list(tmp_path.iterdir())
