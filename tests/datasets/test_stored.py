"""Samples to look at give the images that training sees before its transform."""

import json

import numpy as np
import pytest
from PIL import Image

from lavis_sam.datasets.folder import open_folder, open_samples
from lavis_sam.errors import SamDataError


def test_stored_samples_show_what_the_data_set_shows(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (5, 4), "red").save(tmp_path / name)
    record = {"id": 1, "img_list": ["a.png", "b.png"], "instruction": "What?", "output": "Red."}
    (tmp_path / "annotations.json").write_text(json.dumps([record]))
    stored, dataset = open_samples(tmp_path), open_folder(tmp_path)
    assert len(stored) == len(dataset) == 1
    assert stored.annotation[0] == dataset.annotation[0]
    for one, other in zip(stored.images(0), dataset.images(0), strict=True):
        assert np.array_equal(one, other)
    (tmp_path / "a.png").write_bytes(b"?")
    with pytest.raises(SamDataError, match="sample 1"):
        stored.images(0)
    assert np.array_equal(stored.store.image(0, stored.annotation[0], 1), np.full((4, 5, 3), (255, 0, 0)))
    with pytest.raises(SamDataError, match=r"sample 1.*a\.png"):
        stored.store.image(0, stored.annotation[0], 0)
