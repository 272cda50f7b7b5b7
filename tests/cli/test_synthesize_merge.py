"""`lavis-sam synthesize --part-of` and `lavis-sam synthesize-merge` on fake backends."""

import json

import yaml

from helpers.synthesis import config, folder_digest


def test_shares_and_their_merge_equal_one_run(run, tmp_path):
    path = tmp_path / "fakes.yaml"
    path.write_text(yaml.safe_dump(config()))
    same = ("--num", 6, "--config", path, "--workers", 0, "--kinds", "icons, covers")
    for index in (1, 2):
        code, stdout, _ = run("synthesize", "--out", tmp_path / "set", "--part-of", f"{index}/2", *same)
        assert code == 0
        assert f"{index}/2 is complete" in stdout
    code, stdout, _ = run("synthesize-merge", tmp_path / "set", *same, "--json")
    assert code == 0
    assert json.loads(stdout)["accepted"] == 6
    run("synthesize", "--out", tmp_path / "one", *same)
    assert folder_digest(tmp_path / "set") == folder_digest(tmp_path / "one")


def test_mistakes_are_one_line_and_exit_with_2(run, tmp_path):
    code, _, stderr = run("synthesize", "--out", tmp_path / "set", "--num", 2, "--part-of", "3/2")
    assert code == 2
    assert "--part-of: found '3/2'" in stderr
    code, _, stderr = run("synthesize-merge", tmp_path / "none", "--num", 2)
    assert code == 2
    assert "no such folder" in stderr
