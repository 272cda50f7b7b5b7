"""ARCHITECTURE.md stays true: it has a line for every room of the package and every module of the model."""

from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lavis_sam"
PAGE = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROOMS = sorted(
    f"{path.name}/" if path.is_dir() else path.name
    for path in PACKAGE.iterdir()
    if (path.is_dir() and not path.name.startswith("__")) or (path.suffix == ".py" and path.name != "__init__.py")
)
MODEL = sorted(f"models/{path.name}" for path in (PACKAGE / "models").glob("*.py") if path.name != "__init__.py")
NAMED_BY_ITS_FILES = ("models/",)


@pytest.mark.parametrize("name", [*(room for room in ROOMS if room not in NAMED_BY_ITS_FILES), *MODEL])
def test_it_has_a_line(name):
    assert f"`{name}`" in PAGE, f"add a line for lavis_sam/{name}"


def test_what_it_names_exists():
    named = [part for line in PAGE.splitlines() if line.startswith("| `") for part in line.split("|")[1].split("`")]
    files = [part for part in named if part.endswith((".py", "/"))]
    assert len(files) > 20
    assert not [file for file in files if not (PACKAGE / file).exists()]
