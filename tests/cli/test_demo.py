"""`lavis-sam demo`, up to where it would show its page; tests/demo/demo_in_browser.py has the rest."""

import importlib.util
import sys

import pytest

from lavis_sam.serving.server import bind


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    def fail(*given):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(sys.modules["lavis_sam.cli.demo"], "load_predictor", fail)


@pytest.fixture
def with_packages(monkeypatch):
    """As if gradio were installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_demo_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else name)
    code, _, err = run("demo")
    assert code == 2
    assert "not installed (gradio)" in err
    assert "make setup-demo" in err


def test_demo_on_a_port_that_is_taken_loads_no_model(run, with_packages):
    with bind("127.0.0.1", 0) as bound:
        code, _, err = run("demo", "--port", bound.getsockname()[1])
    assert code == 2
    assert "cannot serve there" in err


def test_demo_names_impossible_limits(run, with_packages):
    code, _, err = run("demo", "--port", 0, "--max-images", 0)
    assert code == 2
    assert "limit of images: found 0" in err
