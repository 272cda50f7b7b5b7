"""Shares of a run made apart, and the data set that is made of them."""

import json
import shutil

import pytest

from helpers.synthesis import folder_digest
from helpers.synthesis_runs import NUM, SEED, SPOILED, Killed, die_at_rename, make, settings
from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.synthesis.runners.local import SerialRunner
from lavis_sam.synthesis.shares import Share, make_share, merge_shares


def share(root, index, count, *, seed=SEED, resume=False):
    return make_share(
        settings(SPOILED), root, Share(count, index), num=NUM, seed=seed, runner=SerialRunner(), resume=resume
    )


def merge(root, *, seed=SEED):
    return merge_shares(settings(SPOILED), root, num=NUM, seed=seed, runner=SerialRunner())


@pytest.fixture(scope="module")
def three_shares(tmp_path_factory):
    """Three complete shares; read only."""
    root = tmp_path_factory.mktemp("shares") / "set"
    for index in (3, 1, 2):
        share(root, index, 3)
    return root


@pytest.fixture
def shares(three_shares, tmp_path):
    return shutil.copytree(three_shares, tmp_path / "set")


def test_merged_shares_are_the_bytes_of_one_run(finished, shares):
    assert merge(shares)["accepted"] == NUM
    assert folder_digest(shares) == folder_digest(finished)


def test_merging_again_changes_nothing(finished, shares):
    merge(shares)
    merge(shares)
    assert folder_digest(shares) == folder_digest(finished)


def test_more_shares_than_parts_merge_too(finished, tmp_path):
    for index in range(1, 9):
        share(tmp_path / "set", index, 8)
    merge(tmp_path / "set")
    assert folder_digest(tmp_path / "set") == folder_digest(finished)


@pytest.mark.parametrize("number", [0, 3, 11, 25])
def test_a_killed_merge_continues_to_the_same_bytes(finished, shares, monkeypatch, number):
    with monkeypatch.context() as patch:
        die_at_rename(patch, number)
        with pytest.raises(Killed):
            merge(shares)
    merge(shares)
    assert folder_digest(shares) == folder_digest(finished)


def test_a_killed_share_continues(finished, shares, monkeypatch):
    shutil.rmtree(shares / "part-2-of-3")
    with monkeypatch.context() as patch:
        die_at_rename(patch, 4)
        with pytest.raises(Killed):
            share(shares, 2, 3)
    with pytest.raises(SamConfigurationError, match=r"part-2-of-3: this share is not complete.*--part-of 2/3 --resume"):
        merge(shares)
    with pytest.raises(SamConfigurationError, match="holds an unfinished run"):
        share(shares, 2, 3)
    share(shares, 2, 3, resume=True)
    merge(shares)
    assert folder_digest(shares) == folder_digest(finished)


def test_a_missing_share_is_named_and_the_others_stay(shares):
    shutil.rmtree(shares / "part-2-of-3")
    before = folder_digest(shares)
    with pytest.raises(SamConfigurationError, match=r"found no share 2/3.*copy its folder part-2-of-3 here"):
        merge(shares)
    assert folder_digest(shares) == before


def test_shares_of_another_number_or_run_are_refused(shares):
    with pytest.raises(SamConfigurationError, match=r"part-1-of-3.*another run: it differs in seed"):
        merge(shares, seed=SEED + 1)
    (shares / "part-1-of-2").mkdir()
    with pytest.raises(SamConfigurationError, match=r"found the shares part-1-of-2, part-1-of-3.*of one N"):
        merge(shares)


@pytest.mark.parametrize("text", ["[]", '{"run": 3}', "{}"])
def test_a_damaged_record_of_a_share_is_refused(shares, text):
    (shares / "part-3-of-3" / "complete.json").write_text(text)
    with pytest.raises(SamError, match=r"part-3-of-3/complete\.json"):
        merge(shares)


def test_a_folder_of_a_whole_run_takes_no_shares(finished, tmp_path):
    with pytest.raises(SamConfigurationError, match="is of a whole run"):
        share(finished, 1, 2)
    make(tmp_path / "set")
    share(tmp_path / "other", 1, 2)
    shutil.move(tmp_path / "other" / "part-1-of-2", tmp_path / "set")
    with pytest.raises(SamConfigurationError, match="found a finished data set and part-1-of-2"):
        merge(tmp_path / "set")


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/3 ", "a/b", "-1/2", "1/0"])
def test_odd_shares_are_refused(text):
    with pytest.raises(SamConfigurationError, match=r"--part-of: found .* such as 2/3"):
        Share.parse(text, "--part-of")


def test_a_share_says_what_it_holds(three_shares):
    records = [json.loads((three_shares / f"part-{index}-of-3" / "complete.json").read_text()) for index in (1, 2, 3)]
    parts = [key for record in records for key in record["parts"]]
    assert len(parts) == len(set(parts)) > 3
    assert sum(record["samples"] for record in records) == NUM
    assert Share.parse(records[1]["share"], "") == Share(3, 2)
