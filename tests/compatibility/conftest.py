"""For the files of version 0.1.0: a copy of them to work on, and the comparisons that they share."""

import json
import shutil
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parent / "fixtures"


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """Copy some of the fixtures to a fresh folder, which becomes the current one: their paths begin there."""
    monkeypatch.chdir(tmp_path)
    # Commands may set it; so it is taken back.
    monkeypatch.setenv("LAVIS_SAM_DATA", str(tmp_path))

    def copy(*names):
        for name in names:
            source, target = FIXTURES / name, tmp_path / name
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        return tmp_path

    return copy


@pytest.fixture
def expected():
    """What version 0.1.0 found, by the name of the file."""
    return lambda name: json.loads((FIXTURES / "expected" / name).read_text(encoding="utf-8"))


@pytest.fixture
def events():
    """The lines of one kind in a run's log."""

    def read(folder, kind):
        lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    return read


@pytest.fixture
def assert_same():
    """Compare plain data: numbers up to the last digits of a float64, all else exactly; new keys may have come."""

    def compare(found, wanted, place="$"):
        if isinstance(wanted, dict):
            assert isinstance(found, dict), place
            assert set(found) >= set(wanted), place
            for key, value in wanted.items():
                compare(found[key], value, f"{place}.{key}")
        elif isinstance(wanted, list):
            assert isinstance(found, list), place
            assert len(found) == len(wanted), place
            for index, value in enumerate(wanted):
                compare(found[index], value, f"{place}[{index}]")
        elif isinstance(wanted, float):
            assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9), place
        else:
            assert found == wanted, place

    return compare
