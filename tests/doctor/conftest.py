"""A release, and a copy of it to break."""

import shutil

import pytest

from helpers.instructblip import transformers_model, write_folder
from helpers.models import small_model
from helpers.weights import write_release


@pytest.fixture(scope="module")
def source():
    return small_model()


@pytest.fixture(scope="module")
def release(source, tmp_path_factory):
    """The released files in LAVIS's layout."""
    folder = tmp_path_factory.mktemp("release")
    return folder, write_release(folder, source)


@pytest.fixture
def files(release, tmp_path):
    """A copy of them to break."""
    folder, paths = release
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return {key: path.replace(str(folder), str(tmp_path)) for key, path in paths.items()}


@pytest.fixture
def folder(tmp_path):
    return write_folder(transformers_model(), tmp_path / "folder")
