"""The one reader of settings: nested data classes from plain data, every problem in one message."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from omegaconf import OmegaConf

from lavis_sam.config.settings import read_settings, setting
from lavis_sam.errors import SamConfigurationError


@dataclass(frozen=True)
class Limit:
    least: float | None = None


@dataclass(frozen=True)
class Inner:
    images: int = setting(2, "images of a sample", minimum=1, key="photos")
    share: float = setting(0.5, "of all", above=0, maximum=1)


@dataclass(frozen=True)
class Backend:
    name: str
    options: dict[str, Any]


def read_backend(value, place, problems):
    if not isinstance(value, str):
        problems.append(f"{place}: found {value!r}, wanted a name.")
        return None
    return Backend(value, {})


@dataclass(frozen=True)
class Outer:
    name: str = setting("a", "what it is called", choices=("a", "b"))
    inner: Inner = Inner()
    backend: Backend = Backend("none", {})
    words: list[str] = setting([], "words")
    weights: Mapping[str, float] = setting({}, "weights", names=("dog", "cat"), noun="kind", minimum=0)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    anything: dict[str, Any] = setting({}, "of somebody else")


def read(values):
    return read_settings(Outer, values, "run", moved={"old": "use `name`"}, readers={Backend: read_backend})


def test_read_settings_fills_nested_classes_from_plain_and_omegaconf_data():
    values = {
        "inner": {"photos": 3, "share": 1},
        "backend": "sdxl",
        "words": ["x"],
        "weights": {"dog": 2},
        "limits": {"a": {"least": 1}, "b": None},
        "anything": {"x": [1, {"y": None}]},
    }
    wanted = Outer("a", Inner(3, 1.0), Backend("sdxl", {}), ["x"], {"dog": 2.0}, {"a": Limit(1), "b": Limit()})
    for given in (values, OmegaConf.create(values)):
        found = read(given)
        assert found == Outer(**{**vars(wanted), "anything": {"x": [1, {"y": None}]}})
        assert isinstance(found.inner.share, float)
    assert read({}) == Outer()
    assert read({}).words is not Outer().words


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, "run: found 7, wanted a mapping."),
        ({"old": 1}, "run.old: use `name`."),
        ({"nam": "a"}, "run: unknown key 'nam'. Did you mean 'name'?"),
        ({"name": "c"}, "run.name: found 'c', wanted one of a, b (what it is called)."),
        ({"inner": {"images": 1}}, "run.inner: unknown key 'images'."),
        ({"inner": {"photos": 0}}, "run.inner.photos: found 0, wanted at least 1 (images of a sample)."),
        ({"inner": {"photos": True}}, "run.inner.photos: found True, wanted an integer"),
        ({"inner": {"share": 0}}, "wanted more than 0"),
        ({"inner": {"share": float("inf")}}, "wanted a finite number"),
        ({"inner": None}, "run.inner: found None, wanted a mapping."),
        ({"backend": 1}, "run.backend: found 1, wanted a name."),
        ({"words": "x"}, "run.words: found 'x', wanted a list of texts (words)."),
        ({"weights": {"dgo": 1}}, "run.weights: unknown kind 'dgo'. Did you mean 'dog'?"),
        ({"weights": {"dog": -1}}, "run.weights.dog: found -1, wanted at least 0"),
        ({"limits": {"a": {"least": "x"}}}, "run.limits.a.least: found 'x', wanted a finite number or null"),
    ],
)
def test_read_settings_names_place_found_and_wanted(values, message):
    with pytest.raises(SamConfigurationError) as caught:
        read(values)
    assert message in str(caught.value)


def test_read_settings_collects_every_problem():
    with pytest.raises(SamConfigurationError) as caught:
        read({"name": 1, "inner": {"photos": 0, "shre": 1}, "weights": 3})
    assert len(str(caught.value).splitlines()) == 4
