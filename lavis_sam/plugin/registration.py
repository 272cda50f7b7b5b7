"""Registration with LAVIS, run right after LAVIS's own code (see `lavis_sam.plugin.hook`).

Our classes register themselves by LAVIS's decorators when they are imported. What is left to do by hand: LAVIS's two
catalogues are snapshots taken before that, and its two loading functions demand a `model_type` and stumble over None
for unknown names.
"""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import lavis
import lavis.datasets.builders
import lavis.models
from lavis.common.registry import registry

from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.hook import REGISTERED_MODULES
from lavis_sam.plugin.registry import registered_class

LOADING_FUNCTIONS = ("load_model", "load_model_and_preprocess")


def register() -> None:
    """Make everything of ours known to LAVIS; what is known already stays as it is.

    Raises:
        ImportError: Some of our modules cannot be imported; all others are registered nevertheless.
    """
    broken: dict[str, Exception] = {}
    for name in REGISTERED_MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:
            broken[name] = error
    complete_catalogues()
    for name in LOADING_FUNCTIONS:
        make_loading_clear(name)
    if broken:
        listed = "; ".join(f"{name}: {type(error).__name__}: {error}" for name, error in broken.items())
        first = next(iter(broken))
        raise ImportError(f"{listed}. `python -c 'import {first}'` shows where.") from broken[first]


def complete_catalogues() -> None:
    """Add what has been registered since LAVIS took the snapshots `model_zoo` and `dataset_zoo`."""
    models = lavis.models.model_zoo.model_zoo
    for name, model in registry.mapping["model_name_mapping"].items():
        models.setdefault(name, list(model.PRETRAINED_MODEL_CONFIG_DICT))
    zoo = lavis.datasets.builders.dataset_zoo
    builders = registry.mapping["builder_name_mapping"].items()
    ours = {name: list(builder.DATASET_CONFIG_DICT) for name, builder in builders}
    zoo.dataset_zoo = dict(sorted({**ours, **zoo.dataset_zoo}.items()))


def make_loading_clear(name: str) -> None:
    """Give a loading function of LAVIS a default `model_type`, and a clear error for names that nobody registered.

    The default goes into the function itself, so that bindings made before see it, too; the checks are a wrapper that
    hands valid calls on as they are.

    Args:
        name: "load_model" or "load_model_and_preprocess".
    """
    load = getattr(lavis.models, name)
    if getattr(load, "_checked_by_lavis_sam", False):
        return
    load.__defaults__ = (None, *load.__defaults__)
    checked = _checked(load)
    for module in (lavis.models, lavis):
        if getattr(module, name, None) is load:
            setattr(module, name, checked)


def _checked(load: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load)
    def checked(name: str, model_type: str | None = None, *args: Any, **options: Any) -> Any:
        model = registered_class("model", name, f"{load.__name__}(name)")
        if model_type is None and not _has_default_type(model):
            raise SamConfigurationError(
                f"{load.__name__}({name!r}): model_type is missing, and {name} has no default. Valid: "
                f"{', '.join(model.PRETRAINED_MODEL_CONFIG_DICT)}."
            )
        return load(name, model_type, *args, **options)

    checked._checked_by_lavis_sam = True  # type: ignore[attr-defined]
    return checked


def _has_default_type(model: Any) -> bool:
    """Return whether the class chooses a `model_type` by itself; LAVIS's own classes do not."""
    parameter = inspect.signature(model.default_config_path).parameters.get("model_type")
    return parameter is not None and parameter.default is not inspect.Parameter.empty
