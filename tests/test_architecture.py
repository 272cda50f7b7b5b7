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


# Modules without a test file of their name -> where they are tested, and why there.
TESTED_ELSEWHERE = {
    "demo/page.py": "demo/demo_in_browser.py",  # gradio lives in an environment of its own
    "cli/baseline_options.py": "cli/test_baseline.py",  # declarations alone; the command has their behaviour
    # Parts of one drawn figure: nothing shows before the figure is whole.
    **dict.fromkeys(
        (
            f"synthesis/procedural/figure/{part}.py"
            for part in ("extras", "fabric", "hair", "head", "limbs", "lower", "shoes", "trunk", "upper")
        ),
        "synthesis/procedural/test_characters.py",
    ),
}
TESTS = PACKAGE.parent / "tests"
MODULES = [
    path.relative_to(PACKAGE).as_posix()
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_test_file(module):
    if module in TESTED_ELSEWHERE:
        assert (TESTS / TESTED_ELSEWHERE[module]).is_file()
        return
    folder, stem = (TESTS / module).parent, Path(module).stem
    found = [*folder.glob(f"test_{stem}.py"), *folder.glob(f"test_{stem}_*.py")]
    assert found, f"lavis_sam/{module}: write tests/{Path(module).parent / f'test_{stem}.py'}"


def test_exceptions_are_modules():
    assert set(TESTED_ELSEWHERE) <= set(MODULES)
