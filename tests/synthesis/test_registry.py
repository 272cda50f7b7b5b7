"""Names and options in a configuration become backends, or one message that says what is wrong with them."""

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
