"""The pinned requirement files: complete, consistent, and free of addresses."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.environments import REPOSITORY

FILES = sorted(REPOSITORY.glob("requirements*.txt"))
# Its pins of 2023 are what these files replace; what it needs to be imported is in requirements.txt.
UNSATISFIABLE = "salesforce-lavis"


def read(path: Path) -> dict[str, Requirement]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


MAIN = read(REPOSITORY / "requirements.txt")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_line_is_one_exact_version_without_an_address(path):
    assert "://" not in path.read_text()
    for requirement in read(path).values():
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], str(requirement)
        assert requirement.url is None
        assert not requirement.extras


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_packages_are_listed_once_and_in_order(path):
    sections = re.split(r"\n\n", path.read_text())
    for section in sections:
        names = [line.split("==")[0] for line in section.splitlines() if "==" in line]
        assert names == sorted(names)
        assert len(names) == len(set(names))


def test_what_the_pinned_packages_need_is_pinned():
    """With --no-deps nothing else would install it."""
    available = MAIN | read(REPOSITORY / "requirements-dev.txt")
    if importlib.metadata.version("transformers").startswith("4."):
        available |= read(REPOSITORY / "requirements-transformers4.txt")
        del available["diffusers"]  # wants transformers 5's hub; `make test-transformers4` leaves the synthesis out
    missing = []
    for name, requirement in available.items():
        if name == UNSATISFIABLE or (requirement.marker and not requirement.marker.evaluate()):
            continue
        for text in importlib.metadata.requires(name) or []:
            needed = Requirement(text)
            environment = dict(default_environment()) | {"extra": ""}
            if needed.marker and not needed.marker.evaluate(environment):
                continue
            pinned = available.get(canonicalize_name(needed.name))
            version = importlib.metadata.version(needed.name) if pinned else None
            if version is None or not needed.specifier.contains(version, prereleases=True):
                missing.append(f"{name} needs {needed}, pinned: {pinned}")
    assert not missing


# A service that few use, with a large client: whoever switches it on installs it, and is told so. And an evaluator,
# which imports us; requirements-lmms-eval.txt pins it. And the demo's library: requirements-demo.txt. And VLMEvalKit,
# with the tables it hands to us: requirements-vlmeval.txt.
NOT_INSTALLED = {"wandb", "lmms_eval", "gradio", "vlmeval", "pandas"}


def test_the_package_says_what_it_imports():
    declared = {canonicalize_name(Requirement(text).name) for text in importlib.metadata.requires("lavis_sam")}
    distributions = importlib.metadata.packages_distributions()
    undeclared = set()
    for path in (REPOSITORY / "lavis_sam").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported = [name.name for name in node.names]
            else:
                imported = [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for top in {name.partition(".")[0] for name in imported} - {
                "lavis",
                "lavis_sam",
                *NOT_INSTALLED,
                *sys.stdlib_module_names,
            }:
                if not declared & {canonicalize_name(name) for name in distributions.get(top, [])}:
                    undeclared.add(f"{path.relative_to(REPOSITORY)} imports {top}")
    assert not undeclared, "name its distribution in setup.py, and pin it in requirements.txt"


def test_what_the_package_says_it_needs_is_pinned():
    pinned = MAIN | read(REPOSITORY / "requirements-dev.txt") | read(REPOSITORY / "requirements-docs.txt")
    for text in importlib.metadata.requires("lavis_sam"):
        needed = Requirement(text)
        if needed.name in NOT_INSTALLED:
            continue
        (pin,) = pinned[canonicalize_name(needed.name)].specifier
        assert needed.specifier.contains(pin.version)
        assert canonicalize_name(needed.name) != UNSATISFIABLE


@pytest.mark.parametrize(
    ("system", "machine", "absent"),
    [
        ("linux", "x86_64", set()),
        ("linux", "aarch64", {"decord"}),
        ("darwin", "arm64", {"decord", "triton", "nvidia-cublas", "cuda-toolkit"}),
    ],
)
def test_packages_that_do_not_exist_for_a_platform_are_skipped_there(system, machine, absent):
    environment = {"sys_platform": system, "platform_machine": machine}
    skipped = {name for name, r in MAIN.items() if r.marker and not r.marker.evaluate(environment)}
    assert absent <= skipped
    assert "torch" not in skipped
    if system == "linux":
        assert skipped == absent


def test_uv_overrides_say_the_same_as_the_pins():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    overrides = [Requirement(line) for line in settings["tool"]["uv"]["override-dependencies"]]
    lavis = {Requirement(text).name: Requirement(text) for text in importlib.metadata.requires(UNSATISFIABLE)}
    for override in overrides:
        assert override.name in lavis, "overrides only what LAVIS asks for"
        if override.specifier:
            assert str(override) == str(MAIN[override.name])
        else:
            assert override.name not in MAIN
    # Nothing that LAVIS asks for is left to a resolver that cannot satisfy it.
    overridden = {override.name for override in overrides}
    for name, requirement in lavis.items():
        pin = MAIN.get(canonicalize_name(name))
        satisfied = pin is not None and requirement.specifier.contains(next(iter(pin.specifier)).version)
        assert satisfied or name in overridden


def test_the_build_uses_the_pinned_setuptools():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert settings["build-system"]["requires"] == [str(MAIN["setuptools"])]
