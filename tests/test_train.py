"""`lavis_sam.train`: arguments in, exit code and one clear line out."""

from pathlib import Path

from lavis_sam import train

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = str(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml")


def test_a_broken_launcher_environment_is_named(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    assert train.main(["--cfg-path", TINY]) == 2
    assert "RANK" in capsys.readouterr().err
