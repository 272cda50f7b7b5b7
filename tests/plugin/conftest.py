from pathlib import Path

import pytest

from helpers.environments import Environment, build_wheel, copy_source

KINDS = ("wheel", "editable")


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A copy of the source that no test changes."""
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


def _installed(kind: str, folder: Path, *, with_packages: bool, request) -> Environment:
    environment = Environment.create(folder / "environment", with_packages=with_packages)
    if kind == "wheel":
        environment.install(request.getfixturevalue("wheel"))
    else:
        environment.install(request.getfixturevalue("source"), editable=True)
    return environment


@pytest.fixture(scope="session", params=KINDS)
def bare(request, tmp_path_factory) -> Environment:
    """lavis_sam alone: neither LAVIS nor torch nor anything else is installed."""
    return _installed(request.param, tmp_path_factory.mktemp("bare"), with_packages=False, request=request)


@pytest.fixture(scope="session", params=KINDS)
def complete(request, tmp_path_factory) -> Environment:
    """lavis_sam, LAVIS and all packages that both need."""
    return _installed(request.param, tmp_path_factory.mktemp("complete"), with_packages=True, request=request)
