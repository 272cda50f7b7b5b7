"""The folder of a run: resumed by the same run alone, never shared."""

import pytest

from helpers.synthesis import config, folder_digest
from helpers.synthesis_runs import SEED, SPOILED, make, make_until_killed
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.work_folder import Outcome, WorkFolder


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
    folder = WorkFolder(tmp_path / "set")
    with folder.opened({"a": 1}, resume=False):
        second = WorkFolder(tmp_path / "set").opened({"a": 1}, resume=True)
        with pytest.raises(SamConfigurationError, match="another process"):
            second.__enter__()


@pytest.fixture
def part(tmp_path):
    """A folder with part 0-0, whose sample and rejected try have an image each, and a part of the next round."""
    folder = WorkFolder(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"image")
    (tmp_path / "b.jpg").write_bytes(b"image")
    rejected = ({"picture": None}, {"picture": "b.jpg"})
    folder.write_part("0-0", [Outcome(5, "icons", {"pictures": [{"file": "a.jpg"}]}, rejected, 1)])
    folder.write_part("1-0", [])
    return folder


def test_has_part_of_a_whole_one(part):
    assert part.has_part("0-0", (5,))
    assert part.has_part("1-0", ())


def rewrite(sample, *rejections):
    return lambda folder: folder.write_part("0-0", [Outcome(5, "icons", sample, rejections, 1)])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder.root / "a.jpg").unlink(),
        lambda folder: (folder.root / "a.jpg").write_bytes(b""),
        lambda folder: (folder.root / "b.jpg").unlink(),
        lambda folder: folder.part_path("0-0").unlink(),
        lambda folder: folder.part_path("0-0").write_bytes(b"\xff"),
        lambda folder: folder.part_path("0-0").write_text(""),
        rewrite({}),
        rewrite({"pictures": [3]}),
        rewrite({"pictures": [{"file": "a\0"}]}),
        rewrite(None, {}),
    ],
)
def test_has_part_removes_a_damaged_one_and_the_later_rounds(part, spoil):
    spoil(part)
    assert not part.has_part("0-0", (5,))
    assert not part.part_path("0-0").exists()
    assert not part.part_path("1-0").exists()


def test_has_part_keeps_other_parts_of_the_round(part):
    assert not part.has_part("0-1", (6,))
    assert part.has_part("0-0", (5,))
    assert not part.part_path("1-0").exists()


@pytest.mark.parametrize("number", range(4))
def test_a_part_that_is_made_again_keeps_no_replacement(finished, tmp_path, monkeypatch, number):
    """It writes the images that the replacements of its near duplicates have."""
    root = tmp_path / "set"
    make_until_killed(monkeypatch, root, 46)  # in the third round
    (root / f"work/parts/0-{number:06d}.jsonl").unlink()
    make(root, SPOILED, resume=True)
    assert folder_digest(root) == folder_digest(finished)
