"""The table of kinds: what it says holds, and a further kind is one entry."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from helpers.synthesis import COLOURS, config
from lavis_sam.synthesis import kinds
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.forms.captions import QUESTIONS
from lavis_sam.synthesis.phrases import FOLDER
from lavis_sam.synthesis.procedural.render.image import render
from lavis_sam.synthesis.procedural.render.paint import plain
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Surface
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.records import Attempt, Draft, SourceObject
from lavis_sam.synthesis.registry import PipelineBuilder
from lavis_sam.synthesis.sources.studio import photograph


class DrawnBalls:
    """A fifth kind: a coloured ball on the floor."""

    name, version, licence = "balls", "1", "none"

    def skipped(self):
        return iter(())

    def draw(self, request):
        taken = {word for obj in request.unlike for word in obj.required_words}
        colour = str(request.rng.choice(sorted(set(COLOURS) - taken)))
        ball = Surface(Ellipsoid((0, 0.3, 0), (0.3, 0.3, 0.3)), plain(COLOURS[colour]), 0.2)
        image = render([ball], eye=0.6, distance=3.0, height=64)
        cutout = image.cutout([image.outline([(-0.05, 0, 0), (0.05, 0, 0), (0, 0, 0.05)])])
        views = tuple(photograph(cutout, request.rng, "ball", "drawn", {}) for _ in range(request.views))
        label = f"{colour} ball"
        return SourceObject(
            label, "balls", self.name, self.licence, {"colour": colour}, 0.6, views, (colour,), "ball", label
        )


@pytest.fixture
def balls(monkeypatch):
    entry = kinds.Kind("scene", {"drawn": f"{__name__}:DrawnBalls"}, ("scene", "side"), "furniture")
    monkeypatch.setitem(kinds.KINDS, "balls", entry)
    monkeypatch.setattr("lavis_sam.synthesis.registry._resolve", _resolving(DrawnBalls))


def _resolving(factory):
    from lavis_sam.synthesis.registry import _resolve

    return lambda path, place: factory if path.endswith(factory.__name__) else _resolve(path, place)


@pytest.mark.usefixtures("balls")
@pytest.mark.parametrize("form", ["pairs", "captions", "changes"])
def test_a_fifth_kind_goes_through_the_pipeline(form):
    plain_config = config(form=form, kinds={"balls": 1}, sources={"balls": {"backend": "drawn"}}, quality={})
    settings = SynthesisSettings.from_config(plain_config)
    pipeline = PipelineBuilder(settings).pipeline()
    drafts = pipeline.run([Attempt(0, slot, 0, "balls") for slot in range(4)])
    made = [draft for draft in drafts if isinstance(draft, Draft)]
    assert made, drafts
    for draft in made:
        assert len(draft.images) == settings.image_count
        assert all(np.ptp(image) > 0 for image in draft.images)
    if form == "pairs":
        assert all(mentions(draft.output, word) for draft in made for word in draft.plan.objects[0].required_words)


@pytest.mark.parametrize("name", kinds.KINDS)
def test_every_kind_has_phrases_questions_and_sources(name):
    kind = kinds.KINDS[name]
    assert set(kind.questions) <= set(QUESTIONS)
    assert kind.sources
    for form in ("pairs", "groups"):
        entries = OmegaConf.load(FOLDER / f"{form}.yaml")
        assert any(str(key).startswith(kind.phrases) for key in entries)


def test_scene_kinds_are_those_that_stand_in_places():
    assert kinds.scene_kinds() == ["characters", "furniture"]
