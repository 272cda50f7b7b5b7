"""`lavis-sam serve`, up to where it would serve; the rest is in the integration tests."""

import sys

import pytest

from lavis_sam.serving.server import bind


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    def fail(*given):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(sys.modules["lavis_sam.cli.serve"], "load_predictor", fail)
    monkeypatch.delenv("LAVIS_SAM_API_KEY", raising=False)


def test_serve_on_a_port_that_is_taken_loads_no_model(run):
    with bind("127.0.0.1", 0) as bound:
        code, _, err = run("serve", "--port", bound.getsockname()[1])
    assert code == 2
    assert "cannot serve there" in err


@pytest.mark.parametrize("key", [b"", b"two words", "ключ".encode(), b"\xff"])
def test_serve_refuses_keys_that_no_header_can_hold(run, tmp_path, key):
    (tmp_path / "key").write_bytes(key)
    code, _, err = run("serve", "--port", 0, "--api-key-file", tmp_path / "key")
    assert code == 2
    assert "API key" in err


def test_serve_names_impossible_limits(run):
    code, _, err = run("serve", "--port", 0, "--max-images", 0)
    assert code == 2
    assert "limit of images: found 0" in err


def test_serve_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "lavis_sam.serving.server", None)
    code, _, err = run("serve")
    assert code == 2
    assert "pip install lavis_sam[serve]" in err


def test_serve_warns_where_others_can_ask_without_a_key(run):
    with bind("0.0.0.0", 0) as bound:
        code, _, err = run("serve", "--host", "0.0.0.0", "--port", bound.getsockname()[1])
    assert code == 2
    assert "no API key is asked for" in err
