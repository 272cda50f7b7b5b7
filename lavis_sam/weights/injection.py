"""Injected modules: what is built into a model once its base has its weights, and is trained beside SAM's layers.

An injection is registered under a name, and the config asks for it with its options:

    @register_injection("low_rank")                      model:
    def add_low_rank(model, *, rank=4):                    inject:
        model.llm_proj.low_rank = ...                        low_rank: {rank: 8}

What it adds is saved in checkpoints and adapters and has to be there when they are loaded. Base files never hold it.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lavis_sam.config.names import unknown_name
from lavis_sam.datasets.patch_words import PatchLabels, read_patch_labels
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.patch_words import PatchWords
from lavis_sam.models.query_words import QueryWords
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.vpg_c import VpgC, keep_features, language_layers, make_changeable
from lavis_sam.weights.lora import add_lora

Injection = Callable[..., None]
INJECTIONS: dict[str, Injection] = {}


def register_injection(name: str) -> Callable[[Injection], Injection]:
    """Make a function known as `model.inject.<name>`.

    Args:
        name: The key of the config. The function takes the model, and the options as keyword arguments; it adds modules
            or parameters. Those that require gradients are trained.

    Raises:
        SamConfigurationError: The name is taken.
    """

    def register(injection: Injection) -> Injection:
        if INJECTIONS.setdefault(name, injection) is not injection:
            raise SamConfigurationError(f"an injection called {name!r} is registered already; choose another name.")
        return injection

    return register


def inject(model: SemanticAlignment, wanted: Mapping[str, Any] | None) -> None:
    """Build modules into a model, and note the parameters that they bring in `model.injected`.

    Args:
        model: A model with its base.
        wanted: The `inject` node of its config: name -> options.

    Raises:
        SamConfigurationError: An unknown name, or options that the injection does not take.
    """
    before = {id(parameter) for parameter in model.parameters()}
    for name, options in (wanted or {}).items():
        if name not in INJECTIONS:
            raise SamConfigurationError(unknown_name("injection", name, INJECTIONS, "model.inject"))
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise SamConfigurationError(f"model.inject.{name} is {options!r}: wanted a mapping of options.")
        try:
            inspect.signature(INJECTIONS[name]).bind(model, **options)
        except TypeError as error:
            raise SamConfigurationError(f"model.inject.{name} is {dict(options)}: {error}.") from error
        INJECTIONS[name](model, **options)
    added = [(name, p) for name, p in model.named_parameters() if id(p) not in before]
    model.injected = tuple(name for name, parameter in added if parameter.requires_grad)


@register_injection("vpg_c")
def add_vpg_c(model: SemanticAlignment, *, layer: int | None = None, instruction: bool = True) -> None:
    """Build VPG-C into a model (Table 3 row 5; see `lavis_sam.models.vpg_c`).

    Args:
        model: a model with its base.
        layer: the layer of the language model, 1-based, at whose input the images are read again; None is the first of
            its upper half, as published (17 of 32).
        instruction: whether the Q-Former reads the instruction too.

    Raises:
        SamConfigurationError: The language model has no such layer, or `instruction` is no truth value.
    """
    layers = language_layers(model.llm_model)
    number = len(layers) // 2 + 1 if layer is None else layer
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(layers):
        raise SamConfigurationError(f"model.inject.vpg_c.layer is {layer!r}; choose one of 1 to {len(layers)}, or null")
    if not isinstance(instruction, bool):
        raise SamConfigurationError(f"model.inject.vpg_c.instruction is {instruction!r}; wanted true or false")
    make_changeable(layers[number - 1])
    width = model.llm_model.config.hidden_size
    model.vpg_c = VpgC(model.query_tokens, width, layer=number, instruction=instruction)
    model.visual_path = keep_features(model.visual_path)


@register_injection("patch_words")
def add_patch_words(model: SemanticAlignment, *, data: str) -> None:
    """Build a head for the objective `patch_words` into a model (see `lavis_sam.models.patch_words`).

    Args:
        model: a model with its base.
        data: the folder of the synthesised data set that it is trained on.

    Raises:
        SamConfigurationError: a package that reading the labels needs is not installed.
        SamDataError: no such data set, or a damaged one.
    """
    model.patch_words = PatchWords(model.visual_encoder.num_features, _labels(model, data))


@register_injection("query_words")
def add_query_words(model: SemanticAlignment, *, data: str) -> None:
    """Build a head for the objective `query_words` into a model (see `lavis_sam.models.query_words`).

    Args:
        model: a model with its base.
        data: the folder of the synthesised data set that it is trained on.

    Raises:
        SamConfigurationError: a package that reading the labels needs is not installed.
        SamDataError: no such data set, or a damaged one.
    """
    model.query_words = QueryWords(model.query_tokens.shape[-1], _labels(model, data))


def _labels(model: SemanticAlignment, data: str) -> PatchLabels:
    grid = model.visual_encoder.image_size // model.visual_encoder.patch_embed.proj.kernel_size[0]
    return read_patch_labels(Path(data), grid)


register_injection("lora")(add_lora)


def wanted_injections(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """List the injections of a config's `model` node: those that it names, and what `trainable` and `lora` stand for.

    Raises:
        SamConfigurationError: `lora` and `inject.lora` contradict each other.
    """
    named = dict(cfg.get("inject") or {})
    implied: dict[str, Any] = {"vpg_c": {}} if cfg.get("trainable") == "vpg_c" else {}
    if lora := cfg.get("lora"):
        if named.get("lora", lora) != lora:
            raise SamConfigurationError(
                f"model.lora is {lora} and model.inject.lora {named['lora']} (which the trained layers may have "
                "brought); leave model.lora empty, or make them equal."
            )
        implied["lora"] = lora
    return {**implied, **named}
