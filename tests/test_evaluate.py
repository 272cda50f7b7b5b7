"""`lavis_sam.evaluate`: its checkpoint."""

from pathlib import Path

from lavis_sam import evaluate

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = str(REPOSITORY / "projects" / "sam" / "tiny" / "train.yaml")


def test_a_missing_checkpoint_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(["--cfg-path", TINY, "--ckpt", "gone.pth"]) == 2
    assert "gone.pth" in capsys.readouterr().err
