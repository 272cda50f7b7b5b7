"""The folder of a run: resumed by the same run alone, never shared."""

import pytest

from helpers.synthesis import config
from helpers.synthesis_runs import SEED, SPOILED, make
from lavis_sam.errors import SamConfigurationError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": SEED + 1}, "seed: 3 before, 4 now"),
        ({"num": 5}, "num: 14 before, 5 now"),
        ({"plain": config()}, "settings.sources.characters.options"),
    ],
)
def test_only_the_same_run_is_resumed(finished, tmp_path, change, message):
    with pytest.raises(SamConfigurationError, match="cannot resume") as error:
        make(finished, **({"plain": SPOILED} | change), resume=True)
    assert message in str(error.value)


def test_a_folder_in_use_is_not_touched(finished, tmp_path):
    with pytest.raises(SamConfigurationError, match=r"holds a finished data set. Add --resume"):
        make(finished, SPOILED)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(SamConfigurationError, match=r"found 'photo.jpg' and more, wanted a new or an empty folder"):
        make(tmp_path, SPOILED, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_two_runs_in_one_folder_are_refused(tmp_path):
    from lavis_sam.synthesis.work_folder import WorkFolder

    folder = WorkFolder(tmp_path / "set")
    with folder.opened({"a": 1}, resume=False):
        second = WorkFolder(tmp_path / "set").opened({"a": 1}, resume=True)
        with pytest.raises(SamConfigurationError, match="another process"):
            second.__enter__()
