"""Figures of a data set, checked by hand."""

import builtins
import io

import pytest
from PIL import Image

from helpers.dummies import record, write_dataset
from helpers.shards import opened, sharded
from lavis_sam.datasets.folder import open_folder
from lavis_sam.datasets.statistics import Padding, Spread, dataset_statistics, draw_statistics
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plotting import save_png


@pytest.fixture
def dataset(tmp_path):
    records = [
        record("a", img_list=["1.png"], instruction="one two", output="x"),
        record("b", img_list=["1.png", "2.png"], instruction="one two three", output="x y"),
        record("c", img_list=["2.png", "3.png", "3.png"], instruction="one two", output="x y z", references=["x", "y"]),
        record("d", img_list=["1.png"], instruction="one", output="x"),
    ]
    write_dataset(tmp_path, records)
    return open_folder(tmp_path)


def test_counts(dataset):
    figures = dataset_statistics(dataset)
    assert (figures.samples, figures.images, figures.distinct_images) == (4, 7, 3)
    assert figures.images_per_sample == {1: 2, 2: 1, 3: 1}
    assert figures.instruction_words == Spread(1, 2.0, 2.0, 3)
    assert figures.output_words == Spread(1, 1.5, 1.75, 3)
    assert figures.references == Spread(1, 1.0, 1.25, 2)


def test_padding_of_one_batch(dataset):
    """Four samples of 1, 2, 3, 1 images and 8, 16, 12, 4 characters."""
    expected = Padding(1 - 7 / 12, 1 - 40 / 64)
    figures = dataset_statistics(dataset, batch_size=4)
    assert figures.padding == {"shuffled": expected, "bucketed": expected}
    assert figures.saved == Padding(0.0, 0.0)


def test_batches_of_one_have_no_padding(dataset):
    figures = dataset_statistics(dataset, batch_size=1)
    assert figures.padding["shuffled"] == figures.saved == Padding(0.0, 0.0)


def test_bucketing_saves_padding(tmp_path):
    records = [
        record(i, img_list=["1.png"] * (1 + i % 5), instruction="w " * (1 + i % 7), output="x") for i in range(200)
    ]
    write_dataset(tmp_path, records)
    figures = dataset_statistics(open_folder(tmp_path), batch_size=8)
    assert figures.padding["shuffled"].images > 0.3
    assert figures.padding["bucketed"].images < 0.05
    assert figures.saved.images == pytest.approx(
        1 - figures.padding["bucketed"].images / figures.padding["shuffled"].images
    )
    assert figures.as_dict()["saved"]["pictures"] == figures.saved.images


def test_shards_have_the_figures_of_their_folder(tmp_path):
    _, path = sharded(tmp_path)
    figures = dataset_statistics(opened(path))
    assert (figures.samples, figures.images) == (10, 19)


def test_a_batch_has_at_least_one_sample(dataset):
    with pytest.raises(SamConfigurationError, match="found 0, wanted at least 1"):
        dataset_statistics(dataset, batch_size=0)


def test_the_plot_shows_the_figures(dataset, tmp_path):
    figures = dataset_statistics(dataset, batch_size=2)
    drawn = draw_statistics(dataset, figures)
    counts, lengths, padding = drawn.axes
    assert [(round(bar.get_x() + bar.get_width() / 2), bar.get_height()) for bar in counts.patches] == [
        (1, 2),
        (2, 1),
        (3, 1),
    ]
    assert sum(bar.get_height() for bar in lengths.patches) == 8
    assert [label.get_text() for label in padding.get_xticklabels()] == ["images", "text"]
    heights = [bar.get_height() for bar in padding.patches]
    assert heights == [v for p in figures.padding.values() for v in (p.images, p.characters)]
    save_png(drawn, tmp_path / "a.png")
    save_png(draw_statistics(dataset, figures), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(10**6)) > 10


def test_without_matplotlib_the_message_says_what_to_install(dataset, monkeypatch):
    real = builtins.__import__

    def refusing(name, *rest):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(SamConfigurationError, match="pip install matplotlib"):
        draw_statistics(dataset, dataset_statistics(dataset))
