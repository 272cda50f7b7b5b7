"""The frozen language model over several GPUs, with the machine's memory or a disk behind them: `model.device_map`.

`auto` fills the GPUs that this process sees, evenly, and leaves what they cannot hold in the machine's memory. A
mapping says it by hand, from the names of the language model's modules to a GPU's number, `cpu` or `disk`:

    device_map: {model.embed_tokens: 0, model.layers.0: 0, model.layers.1: 1, model.norm: 1, lm_head: 1}

accelerate moves what a module reads to where the module is, and brings weights that wait in memory or on a disk to the
first GPU for the time of their product. Everything but the language model is on that GPU as a whole. Gradients pass
through, so SAM's layers are trained as ever.
"""

import logging
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lavis_sam import distributed
from lavis_sam.config.option_values import whole_number
from lavis_sam.errors import SamConfigurationError

_LOG = logging.getLogger(__name__)

AUTO = "auto"
WAITING = ("cpu", "disk")
INSTALL = 'pip install "lavis_sam[device-map]", or pip install --no-deps accelerate psutil'
# Of a GPU's free memory, what weights may take; activations and the KV cache need the rest.
WEIGHTS_SHARE = 0.8
Map = dict[str, int | str]


def read_device_map(cfg: Mapping[str, Any]) -> Map | str | None:
    """Return the `device_map` of a config's `model` node; None where the language model is on one device.

    Raises:
        SamConfigurationError: An impossible one, several processes, packed matrices, or no accelerate.
    """
    found = cfg.get("device_map")
    if found in (None, "") or (isinstance(found, Mapping) and not found):
        return None
    if found != AUTO and not isinstance(found, Mapping):
        raise SamConfigurationError(
            f"model.device_map is {found!r}; wanted auto, or a mapping from the language model's modules to a GPU's "
            "number, cpu or disk."
        )
    refuse_processes("model.device_map")
    if packed := cfg.get("llm_precision"):
        raise SamConfigurationError(
            f"model.device_map and model.llm_precision ({packed}) do not go together: a packed language model of 13 "
            "billion parameters takes 7 (nf4) or 13 GB (int8) of one GPU. Leave one of them empty."
        )
    require_accelerate("model.device_map")
    return found if isinstance(found, str) else {str(name): _place(str(name), value) for name, value in found.items()}


def refuse_processes(setting: str) -> None:
    """Raise a SamConfigurationError if there are several processes, of which each would take all GPUs.

    Args:
        setting: What asks for several devices.
    """
    count = max(distributed.world_size(), distributed.Launch.from_environment().world_size)
    if count > 1:
        raise SamConfigurationError(
            f"{setting}: found {count} processes, wanted one: it spreads one model over all GPUs, which the processes "
            "of a distributed run have one each. Start without torchrun or srun, or leave it empty: each "
            "process then has the whole model on its GPU."
        )


def require_accelerate(setting: str) -> None:
    """Raise a SamConfigurationError if accelerate is not installed."""
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise SamConfigurationError(f"{setting} needs accelerate: {INSTALL} ({error}).") from error


def _place(name: str, value: Any) -> int | str:
    """Return a place of a mapping, as accelerate takes it."""
    number = value.removeprefix("cuda:") if isinstance(value, str) else value
    whole = whole_number(number) if isinstance(number, str) else None
    number = number if whole is None else whole
    if isinstance(number, int) and not isinstance(number, bool):
        if 0 <= number < torch.cuda.device_count():
            return number
        raise SamConfigurationError(
            f"model.device_map.{name} is {value!r}, and PyTorch sees {torch.cuda.device_count()} GPU(s), counted from "
            "0; wanted one of them, cpu or disk."
        )
    if number in WAITING:
        return str(number)
    raise SamConfigurationError(f"model.device_map.{name} is {value!r}; wanted a GPU's number, cpu or disk.")


def main_device() -> torch.device:
    """Return where all but a language model that is spread is built: the first GPU, or the CPU where there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def check_names(model: Any, device_map: Map, device: torch.device) -> None:
    """Refuse a mapping that is not about all of a language model, or lets trained weights wait outside a GPU.

    Args:
        model: A `SemanticAlignment`; on the meta device, so that this is known before weights are read.
        device: Where the rest of the model will be.

    Raises:
        SamConfigurationError: A name that is no module's, a parameter without a place, or a trained one that waits.
    """
    llm_model = model.llm_model
    modules = dict(llm_model.named_modules())
    if unknown := [name for name in device_map if name not in modules]:
        raise SamConfigurationError(
            f"model.device_map names {unknown[0]!r}, which the language model has not; its modules are called "
            f"{', '.join(_examples(modules))}."
        )
    for name, parameter in llm_model.named_parameters():
        place = place_of(name, device_map)
        if place is None:
            raise SamConfigurationError(
                f"model.device_map gives llm_model.{name} no place; name one of the modules that it is in, or '' for "
                "all the rest."
            )
        if parameter.requires_grad and waits(place, device):
            raise SamConfigurationError(
                f"model.device_map puts llm_model.{name}, which is trained (model.trainable, model.lora), on {place}, "
                "where frozen weights alone can wait; give its module a GPU."
            )


def _examples(modules: Mapping[str, nn.Module]) -> list[str]:
    return [name for name in modules if name and name.count(".") < 3][:6]


def place_of(name: str, device_map: Mapping[str, int | str]) -> int | str | None:
    """Return the place of a parameter by the longest name in a mapping that it is in; None where there is none."""
    inside = [one for one in device_map if one in ("", name) or name.startswith(f"{one}.")]
    return device_map[max(inside, key=len)] if inside else None


def flat_map(module: nn.Module, device_map: Mapping[str, int | str], name: str = "") -> Map:
    """Return the same mapping with names of which none lies within another, as accelerate wants it."""
    inside = [one for one in device_map if one != name and (not name or one.startswith(f"{name}."))]
    place = place_of(name, device_map) if name else None
    if not inside and place is not None:
        return {name: place}
    found: Map = {}
    for child, below in module.named_children():
        if next(below.parameters(), None) is not None:
            found |= flat_map(below, device_map, f"{name}.{child}" if name else child)
    return found


def waits(place: int | str, device: torch.device) -> bool:
    """Return whether weights at a place are brought to `device` for each of their products."""
    return place == "disk" or (place == "cpu" and device.type != "cpu")


def place_language_model(model: Any, device_map: Map | str, device: torch.device) -> None:
    """Spread the language model of a model that has all its weights, and move the rest of the model.

    Args:
        model: A `SemanticAlignment` on the CPU.
        device_map: As `read_device_map` gives it.
        device: Where everything but the language model goes, and where weights that wait are computed with.

    Raises:
        SamConfigurationError: The mapping is not this language model's, or there is not enough memory for `auto`.
    """
    from accelerate import dispatch_model

    llm_model = model.llm_model
    if isinstance(device_map, str):
        device_map = automatic_map(llm_model, memory_here(model, device))
    check_names(model, device_map, device)
    device_map = flat_map(llm_model, device_map)
    waiting = [name for name, place in device_map.items() if waits(place, device)]
    # accelerate takes a number for a GPU, and keeps modules where they are if both they and "cpu" are said to be there.
    main = _accelerate_place(device)
    if main == "cpu" and "cpu" in (device_map[name] for name in waiting):
        main = device
    folder = None
    if "disk" in device_map.values():
        folder = tempfile.TemporaryDirectory(prefix="lavis_sam_weights_")
        weakref.finalize(llm_model, folder.cleanup)
    with _without_advice():
        dispatch_model(
            llm_model,
            device_map,
            main_device=main,
            offload_dir=folder.name if folder else None,
            skip_keys=getattr(llm_model, "_skip_keys_device_placement", None),
            force_hooks=bool(waiting),
        )
    # `model.to(…)` then moves everything else.
    llm_model._apply = lambda function, recurse=True: llm_model
    model.to(device)
    _LOG.info("the language model is spread: %s", describe_map(device_map))
    if waiting and not any(getattr(module, "gradient_checkpointing", False) for module in llm_model.modules()):
        _LOG.info(
            "weights that wait on cpu or disk are all held on %s through a training step, as its backward pass needs "
            "them; with model.gradient_checkpointing=true they are brought back one layer at a time", device,
        )  # fmt: skip


def _accelerate_place(device: torch.device) -> Any:
    """Return a device as accelerate names it; "cuda" alone is the first GPU."""
    return device.index or 0 if device.type == "cuda" else "cpu"


def memory_here(model: Any, device: torch.device) -> dict[int | str, int]:
    """Return bytes that weights of the language model may take on each GPU, and in the machine's memory.

    Room for the rest of the model is kept on the GPU that it goes to.

    Args:
        model: A `SemanticAlignment`, on any device, also "meta".
        device: Where everything but the language model goes.
    """
    from accelerate.utils import get_max_memory

    budget = {place: int(size) for place, size in get_max_memory().items()}
    own = sum(parameter.nbytes for name, parameter in model.named_parameters() if not name.startswith("llm_model."))
    main = _accelerate_place(device)
    for place in budget:
        if place != "cpu":
            kept = own if place == main else 0
            budget[place] = max(0, int((budget[place] - kept) * WEIGHTS_SHARE))
    return budget


def automatic_map(llm_model: Any, budget: Mapping[int | str, int]) -> Map:
    """Spread a language model evenly over GPUs, layer by layer in order; what they cannot hold waits on the CPU.

    Args:
        llm_model: The language model, on any device, also "meta".
        budget: Bytes that weights may take, by a GPU's number, and "cpu" (without one there is no limit to it).

    Raises:
        SamConfigurationError: It does not fit.
    """
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = sum(parameter.nbytes for parameter in llm_model.parameters())
    limits: dict[int | str, int] = {"cpu": 2 * whole, **budget}
    if not any(isinstance(place, int) for place in limits):
        return {"": "cpu"}
    kept = list(getattr(llm_model, "_no_split_modules", None) or ())
    # accelerate writes into what it is given.
    balanced = get_balanced_memory(llm_model, max_memory=dict(limits), no_split_module_classes=kept)
    with _without_advice():
        found = infer_auto_device_map(llm_model, max_memory=balanced, no_split_module_classes=kept)
    if "disk" in found.values():
        shown = ", ".join(f"{place}: {size / 1e9:.1f} GB" for place, size in limits.items())
        raise SamConfigurationError(
            f"model.device_map is auto, and the language model's {whole / 1e9:.1f} GB of weights do not fit into what "
            f"is free for them ({shown}). Take a smaller model.precision, free memory, or write a mapping, in which "
            "modules may be on disk."
        )
    return dict(found)


def describe_map(device_map: Mapping[str, int | str]) -> str:
    """Return how many modules are where, in words."""
    places = list(dict.fromkeys(device_map.values()))
    counts = {place: sum(value == place for value in device_map.values()) for place in places}
    names = {place: f"cuda:{place}" if isinstance(place, int) else place for place in places}
    return ", ".join(f"{counts[place]} module(s) on {names[place]}" for place in places)


def held_parameters(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """List a model's parameters by name, each name of a shared one too; of those that wait, the weights themselves."""
    for path, module in model.named_modules(remove_duplicate=False):
        hook: Any = getattr(module, "_hf_hook", None)
        hooks: Any = getattr(hook, "hooks", (hook,))
        maps = [one.weights_map for one in hooks if getattr(one, "offload", False)]
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            full = f"{path}.{name}" if path else name
            yield full, maps[0][name] if maps and parameter.is_meta else parameter


class _without_advice:  # noqa: N801 - used as a function
    """Keep accelerate's warnings away: what they are about is what was asked for, and is logged in our words."""

    def __enter__(self) -> None:
        self._loggers = [logging.getLogger(name) for name in ("accelerate.big_modeling", "accelerate.utils.modeling")]
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *error: Any) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
