"""Registration with the real LAVIS, in this process: what `import lavis` makes known."""

import inspect

import lavis
import lavis.models
import pytest
from lavis.common.registry import registry
from lavis.datasets.builders import dataset_zoo
from lavis.models import load_model, load_model_and_preprocess, model_zoo

from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.plugin import registration
from lavis_sam.plugin.model import Blip2VicunaSAM

LOADING_FUNCTIONS = [load_model, load_model_and_preprocess]


@pytest.mark.parametrize(
    ("getter", "name"),
    [
        (registry.get_model_class, "blip2_vicuna_sam"),
        (registry.get_task_class, "multi_image_captioning"),
        (registry.get_runner_class, "runner_sam"),
        (registry.get_lr_scheduler_class, "linear_warmup_cosine_step_lr"),
        (registry.get_builder_class, "mmlink"),
    ],
)
def test_the_registry_knows_our_names(getter, name):
    found = getter(name)
    assert inspect.isclass(found)
    assert found.__module__.startswith("lavis_sam.")


def test_the_registry_s_own_answers_are_unchanged():
    assert registry.get_model_class("no such model") is None
    assert registry.get_model_class("blip_caption").__module__.startswith("lavis.")


def test_lavis_s_catalogues_hold_our_entries_and_theirs():
    assert registry.get_model_class("blip2_vicuna_sam") is Blip2VicunaSAM
    models = dict(model_zoo)
    assert models["blip2_vicuna_sam"] == ["vicuna7b", "vicuna13b", "tiny", "custom"]
    assert models["blip_caption"] == ["base_coco", "large_coco"]
    assert "blip2_vicuna_sam" in str(model_zoo)
    names = dataset_zoo.get_names()
    assert {"mmlink", "coco_caption"} <= set(names)
    assert names == sorted(names)


def test_every_registered_model_and_data_set_is_in_the_catalogues():
    assert set(dict(model_zoo)) == set(registry.list_models())
    assert set(dataset_zoo.get_names()) == set(registry.list_datasets())


def test_registering_again_changes_nothing():
    def state():
        return (
            dict(model_zoo),
            dict(dataset_zoo.dataset_zoo),
            lavis.models.load_model,
            load_model.__wrapped__.__defaults__,
        )

    before = state()
    registration.register()
    assert state() == before


def test_the_loading_functions_are_the_same_wherever_lavis_has_them():
    assert lavis.load_model is lavis.models.load_model is load_model
    assert lavis.models.load_model_and_preprocess is load_model_and_preprocess


@pytest.mark.parametrize("load", LOADING_FUNCTIONS)
def test_the_default_model_type_is_vicuna7b(load, monkeypatch, tmp_path):
    """Its files are not here, and the error says so: the default was understood."""
    for variable in ("LAVIS_SAM_INSTRUCTBLIP", "LAVIS_SAM_EVA_VIT", "LAVIS_SAM_VICUNA", "LAVIS_SAM_BERT"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    with pytest.raises(SamCheckpointError, match=r"Vicuna-7B[\s\S]*tiny"):
        load("blip2_vicuna_sam")


@pytest.mark.parametrize("load", LOADING_FUNCTIONS)
def test_unknown_models_and_missing_types_are_clear_errors(load):
    with pytest.raises(
        SamConfigurationError, match=r"'blip2_vicuna_san'.*Did you mean 'blip2_vicuna_sam'.*blip_caption"
    ):
        load("blip2_vicuna_san")
    with pytest.raises(SamConfigurationError, match=r"blip_caption has no default\. Valid: base_coco, large_coco"):
        load("blip_caption")
