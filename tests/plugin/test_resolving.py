"""The configuration of a run without LAVIS, as long as all its names are ours; the rest is in test_run_config."""

from argparse import Namespace
from pathlib import Path

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models import guidance
from lavis_sam.models.trainable import PRESETS
from lavis_sam.models.w_former import EXTRACTORS
from lavis_sam.plugin import resolving
from lavis_sam.plugin.resolving import ResolvedConfig
from lavis_sam.plugin.run_config import SamConfig
from lavis_sam.weights.build_model import PRECISIONS

PROJECTS = Path(__file__).resolve().parents[2] / "projects" / "sam"
RECIPES = sorted(path for path in PROJECTS.rglob("*.yaml") if path.parent.name not in ("ablations", "data"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_resolving_gives_what_a_run_gets(recipe):
    arguments = Namespace(cfg_path=str(recipe), options=[])
    if recipe.name == "base.yaml":  # which others stand on
        return
    assert ResolvedConfig(arguments).to_dict() == SamConfig(arguments).to_dict()


def test_names_that_resolving_knows_without_pytorch_are_in_the_tables():
    assert set(resolving._USUAL_PRESETS) <= set(PRESETS)
    assert set(resolving._USUAL_PRECISIONS) == set(PRECISIONS)
    assert set(guidance._BUILT_IN) <= set(EXTRACTORS)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.trainable=all", "unknown preset 'all'"),
        ("model.precision=fp8", "model.precision is 'fp8'; choose one of fp32"),
        ("model.guidance.extractor=lstm", "model.guidance.extractor is 'lstm'; choose one of w_former"),
        ("model.arch=blip3", "unknown model 'blip3'"),
        ("datasets.coco.type=default", "coco"),
    ],
)
def test_names_that_resolving_does_not_know_are_looked_up(option, message):
    (tiny,) = [path for path in RECIPES if path.parts[-2:] == ("tiny", "train.yaml")]
    with pytest.raises(SamConfigurationError) as caught:
        ResolvedConfig(Namespace(cfg_path=str(tiny), options=[option]))
    assert message in str(caught.value)
