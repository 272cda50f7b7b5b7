"""Hours from a few samples, on a clock that the parts themselves turn."""

import sys
import time
from types import SimpleNamespace

import pytest

from helpers.synthesis import FakeInpainter, FakeSegmenter, config
from lavis_sam.synthesis import measured_hours as module
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.forecast import forecast
from lavis_sam.synthesis.measured_hours import measured_hours

HERE = f"{__name__}"
NOW = [0.0]


class SlowSegmenter(FakeSegmenter):
    """Half a second an image, and ten to load its weights."""

    def __init__(self):
        self._loaded = False

    def segment(self, images):
        NOW[0] += 0.5 * len(images) + (0 if self._loaded else 10)
        self._loaded = True
        return super().segment(images)

    def segment_prompted(self, requests):
        return self.segment([request.image for request in requests])


class SlowInpainter(FakeInpainter):
    """Three seconds an image."""

    def inpaint(self, requests):
        NOW[0] += 3 * len(requests)
        return super().inpaint(requests)


class Broken(FakeInpainter):
    """Paints nothing."""

    def inpaint(self, requests):
        raise ValueError("broken")


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: NOW[0])


def hours(num=3600, **changes):
    stages = {"segment": {"backend": f"{HERE}:SlowSegmenter"}, "inpaint": {"backend": f"{HERE}:SlowInpainter"}}
    plain = config(stages={**stages, **changes.pop("stages", {})}, **changes)
    settings = SynthesisSettings.from_config(plain)
    return measured_hours(settings, forecast(settings, num))


def test_calls_are_measured_without_the_loading_of_weights():
    found = hours(kinds={"characters": 1})
    assert found.seconds["segment"] == pytest.approx(0.5)
    assert found.seconds["inpaint"] == pytest.approx(3)
    # 3,600 samples: four views of half a second, two images of three seconds.
    assert found.hours["segment"] == pytest.approx(2)
    assert found.hours["inpaint"] == pytest.approx(6)
    assert found.hours["other"] == pytest.approx(0)
    assert found.hours["score"] == 0.0, "there is no scorer"
    assert found.total == pytest.approx(8)
    assert (found.device, found.samples) == ("cpu", 2)


def test_the_finished_images_are_segmented_again_where_that_is_judged():
    found = hours(kinds={"characters": 1}, quality={"background.extra_salient": {"max": 0.1}})
    assert found.seconds["segment"] == pytest.approx(0.5)
    assert found.hours["segment"] == pytest.approx(3)


def test_scenes_are_measured_whatever_the_first_kind_is():
    found = hours(kinds={"icons": 1, "furniture": 1})
    assert found.hours["inpaint"] == pytest.approx(3), "half of the samples are scenes"


def test_thresholds_refuse_nothing_here():
    found = hours(kinds={"characters": 1}, quality={"mask.area": {"min": 0.99}})
    assert found.seconds["inpaint"] == pytest.approx(3)


def test_a_service_is_not_asked_and_its_time_is_not_measured(tmp_path):
    chat = {"backend": "chat", "model": "m", "cache": str(tmp_path / "answers")}
    found = hours(kinds={"characters": 1}, stages={"background": chat, "refine": chat})
    assert found.hours["background"] is None
    assert found.hours["refine"] is None
    assert found.hours["inpaint"] == pytest.approx(6)
    assert not list(tmp_path.iterdir())


def test_a_part_that_makes_nothing_is_not_measured():
    found = hours(kinds={"characters": 1}, stages={"inpaint": {"backend": f"{HERE}:Broken"}})
    assert found.hours["inpaint"] is None
    assert found.hours["describe"] is None, "no sample got there"
    assert found.hours["segment"] == pytest.approx(2)


@pytest.mark.parametrize(("used", "device"), [(1, "NVIDIA X"), (0, "cpu")])
def test_hours_are_a_gpus_where_one_was_used(monkeypatch, used, device):
    cuda = SimpleNamespace(
        is_available=lambda: True, max_memory_allocated=lambda: used, get_device_name=lambda: "NVIDIA X"
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert module._device() == device


def test_what_a_person_reads_names_the_device_and_what_is_not_known():
    found = module.Hours(2, "NVIDIA X", {"segment": 0.5, "refine": None}, {"segment": 2.0, "refine": None, "other": 1})
    assert found.lines() == [
        "Hours of a GPU (NVIDIA X), one worker, from 2 samples measured here:",
        "  segment    2.00 (0.5 s a call)",
        "  refine     not measured",
        "  other      1.00",
        "  together   3.00",
    ]
    assert found.as_dict()["total_hours"] == 3.0
