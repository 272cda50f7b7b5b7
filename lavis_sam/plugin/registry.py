"""Asking LAVIS's registry for a class by name, with an answer for names that it does not know.

LAVIS's own getters return None for an unknown name, and the caller then fails somewhere else.
"""

from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError

# Kind -> getter and lister of LAVIS's registry.
_KINDS = {
    "model": ("get_model_class", "list_models"),
    "task": ("get_task_class", "list_tasks"),
    "runner": ("get_runner_class", "list_runners"),
    "data set": ("get_builder_class", "list_datasets"),
    "processor": ("get_processor_class", "list_processors"),
    "learning-rate schedule": ("get_lr_scheduler_class", "list_lr_schedulers"),
}


def registered_class(kind: str, name: Any, place: str) -> Any:
    """Return the class registered under `name`.

    Args:
        kind: "model", "task", "runner", "data set", "processor" or "learning-rate schedule".
        name: The registered name.
        place: The configuration key that holds the name; it starts the error message.

    Raises:
        SamConfigurationError: No such name; the message lists the valid ones.
    """
    # Imported here: importing LAVIS registers our classes, and their modules import this one.
    from lavis.common.registry import registry

    get, list_names = _KINDS[kind]
    found = getattr(registry, get)(name) if isinstance(name, str) else None
    if found is None:
        raise SamConfigurationError(unknown_name(kind, name, getattr(registry, list_names)(), place))
    return found
