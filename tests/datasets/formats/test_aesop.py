"""AESOP from the stories themselves."""

from helpers.release_parts import story, write_images, write_json
from lavis_sam.datasets.formats.reading import read_dataset


def kinds(report):
    return [problem.kind for problem in report.problems]


def test_aesop_from_the_stories_themselves(tmp_path):
    """meta.json has no id and no paths: its folder is the id."""
    for name, split in (("0001", "train"), ("0002", "test"), ("0003", None)):
        write_images(tmp_path / "renders" / name, *[f"panel_{k}.jpg" for k in range(3)])
        meta = {"title": "T", "theme": [], "bg": [1], "story": ["A. ", "B.", "C."], "split": split}
        write_json(tmp_path / "data" / "stories" / name / "meta.json", meta)
    (tmp_path / "data" / "stories" / "0004").mkdir()
    (tmp_path / "data" / "stories" / "0004" / "meta.json").write_text("{broken")
    report = read_dataset("aesop", tmp_path / "data", tmp_path)
    assert [sample.id for sample in report.samples] == ["0001", "0002", "0003"]
    assert report.samples[0].images == tuple(f"renders/0001/panel_{k}.jpg" for k in range(3))
    assert report.samples[0].instruction.endswith(story("A.", "B."))
    assert kinds(report) == ["not JSON"]
    # A story that does not say its split belongs to none: it must not be trained on and evaluated.
    tested = read_dataset("aesop", tmp_path / "data", tmp_path, split="test")
    assert [sample.id for sample in tested.samples] == ["0002"]
