"""VIST in other layouts of its release."""

from helpers.release_parts import write_images, write_json
from helpers.releases import MINIATURES
from lavis_sam.datasets.formats.reading import read_dataset


def kinds(report):
    return [problem.kind for problem in report.problems]


def test_vist_descriptions_in_isolation(tmp_path):
    """No story ids: stories are runs of 0 to 4."""
    write_images(tmp_path / "images" / "val", *[f"{k}.jpg" for k in range(10)])
    orders = [0, 1, 2, 3, 4, 0, 1, 0, 1, 2, 3, 4]
    annotations = [
        [
            {
                "original_text": f"Text {n}.",
                "album_id": "72",
                "photo_flickr_id": str(n % 10),
                "photo_order_in_story": order,
            }
        ]
        for n, order in enumerate(orders)
    ]
    path = write_json(tmp_path / "val.description-in-isolation.json", {"annotations": annotations})
    report = read_dataset("vist", path, tmp_path / "images")
    assert [sample.id for sample in report.samples] == ["72-0", "72-7"]
    assert report.samples[1].images == tuple(f"val/{k}.jpg" for k in (7, 8, 9, 0, 1))
    assert report.samples[1].output == "Text 11."
    assert kinds(report) == ["incomplete story"]


def test_vist_with_all_images_in_one_folder(tmp_path):
    miniature = MINIATURES["vist"](tmp_path)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (miniature.images / "test").iterdir():
        path.rename(flat / path.name)
    report = read_dataset("vist", miniature.storages["test"], flat)
    assert report.samples[0].images == tuple(f"71{k:02d}.JPG" for k in range(5))
