"""What a run would need: missing parts, calls, requests."""

from helpers.synthesis import config
from lavis_sam.synthesis.configuration import SynthesisSettings, read_config
from lavis_sam.synthesis.forecast import forecast


def test_the_paper_without_its_parts_says_each_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    found = forecast(SynthesisSettings.from_config(read_config("mmlink_paper")), 1000)
    for place in ("sources.characters", "sources.furniture", "sources.covers"):
        assert any(place in message for message in found.missing), place
    for place in ("stages.segment", "stages.inpaint", "stages.describe", "stages.score"):
        assert any(place in message for message in found.missing), place
    assert not any(place in message for place in ("icons", "background", "refine") for message in found.missing)
    assert not list(tmp_path.iterdir())


def test_calls_follow_kinds_images_and_judged_scores():
    preset = SynthesisSettings.from_config(read_config("mmlink_paper"))
    calls = {job: count for job, (_, count) in forecast(preset, 1000).calls.items()}
    assert calls == {
        "segment": 3000, "background": 1000, "inpaint": 1000, "describe": 2000, "refine": 1000, "score": 1000
    }  # fmt: skip
    assert forecast(preset, 1000).requests == 2000
    scenes = SynthesisSettings.from_config(config(kinds={"characters": 1}))
    found = forecast(scenes, 10)
    assert found.calls["segment"] == ("helpers.synthesis:FakeSegmenter", 40)
    assert (found.missing, found.requests) == ((), 0)
    assert found.as_dict()["calls"]["background"] == {"backend": "helpers.synthesis:FakeBackgrounds", "calls": 20}


def test_icons_that_the_captioner_names_are_counted():
    plain = config(kinds={"icons": 1, "covers": 1}, sources={"icons": {"backend": "folder", "named_by": "captioner"}})
    found = forecast(SynthesisSettings.from_config(plain), 10)
    assert found.calls["describe"][1] == 5 * (2 * 6 + 1)
