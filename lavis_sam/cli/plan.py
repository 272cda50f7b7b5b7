"""`lavis-sam plan`: what a training run will need, without weights and data."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lavis_sam.cli.run_options import CfgPath, ConfigAndWords, Data, Option, read_config
from lavis_sam.cli.score_tables import print_table
from lavis_sam.terminal import echo, printable_console

if TYPE_CHECKING:
    from lavis_sam.planning.feature_cache import CachePlan
    from lavis_sam.planning.forecast import Load, Plan
    from lavis_sam.planning.run_length import RunLength
    from lavis_sam.plugin.resolving import ResolvedConfig

_GIB = 2**30
_WIDTH = 100
# A plan of one of these says which cards the other would fit on, too.
_FAMILY = ("vicuna7b", "vicuna13b")
_Samples = Annotated[
    int | None, typer.Option(min=1, help="Training samples; by default those of the data set, if it is on the disk.")
]
_Log = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Take those seconds from a run of this batch on such GPUs: its folder or log.jsonl."
    ),
]
_StepSeconds = Annotated[float | None, typer.Option(min=0, help="Seconds of an optimizer step, if you know them.")]
_Measure = Annotated[
    bool, typer.Option("--measure", help="Measure those seconds here, with random weights and without loading data.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print the plan as JSON, nothing else; bytes and FLOPs.")]


def plan(
    words: ConfigAndWords = None,
    cfg_path: CfgPath = None,
    options: Option = None,
    data: Data = None,
    images: Annotated[int, typer.Option(min=1, help="Images of a sample.")] = 2,
    text_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an instruction.")] = 32,
    target_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 32,
    gpus: Annotated[int, typer.Option(min=1, help="Processes, one a GPU.")] = 1,
    samples: _Samples = None,
    step_seconds: _StepSeconds = None,
    log: _Log = None,
    measure: _Measure = False,
    as_json: _Json = False,
) -> None:
    """Say which parameters, memory and FLOPs a run needs, which GPUs it fits on, and how many steps and hours it takes.

    Sizes come from `model.model_type`, batch and precision from the configuration. The model's own code runs one step
    on tensors without storage, so neither weights nor data nor a GPU are needed. Hours need the time of a step.

    \b
    Examples:
      lavis-sam plan projects/sam/train.yaml --gpus 4
      lavis-sam plan projects/sam/train.yaml --gpus 4 --samples 69000 --step-seconds 1.5
      lavis-sam plan --cfg-path projects/sam/train.yaml --options model.gradient_checkpointing=true --json
    """
    from omegaconf import OmegaConf

    from lavis_sam.config.run_settings import RunSettings
    from lavis_sam.files import to_json
    from lavis_sam.planning.feature_cache import plan_cache
    from lavis_sam.planning.forecast import Load
    from lavis_sam.planning.run_length import run_length

    config = read_config(cfg_path, options, words, data)
    run = RunSettings.from_config(config.run_cfg)
    load = Load(
        batch=run.batch_size_train, images=images, text_tokens=text_tokens, target_tokens=target_tokens, gpus=gpus,
        accumulation=run.accum_grad_iters, eval_batch=run.batch_size_eval,
    )  # fmt: skip
    spread, made = _refuse_processes(config, gpus), _planned(config, load)
    cards = _cards_of_family(config, load, made)
    needed = made.memory["training"] if measure else None
    seconds, source = _step_seconds(config, load, step_seconds, log, to_measure=needed)
    number, missing = _samples(config, samples)
    length = None if number is None else run_length(number, run, gpus, seconds)
    cache = plan_cache(OmegaConf.to_container(config.model_cfg, resolve=True), run, load, number)
    family = _spread_of_family(config, load, made) if spread else None
    if as_json:
        optional = {name: found for name, found in {"device_map": family, "feature_cache": cache}.items() if found}
        further = {"cards": cards, "run": length, "step_seconds_from": source, "samples_missing": missing}
        echo(to_json(dataclasses.asdict(made) | further | optional))
        return
    _print(made)
    _print_cards(cards)
    if family:
        _print_spread(family, can_wait=config.model_cfg.gradient_checkpointing)
    _print_length(length, run.max_epoch, source, missing)
    if cache:
        _print_cache(cache, load.images)


def _cards_of_family(config: "ResolvedConfig", load: "Load", made: "Plan") -> dict[str, Any]:
    """Model type -> the cards that it fits, of the configured one and those of its family."""
    own = config.model_cfg.model_type
    cards = {own: _cards(made)}
    for other in _FAMILY if own in _FAMILY else ():
        if other not in cards:
            cards[other] = _cards(_planned(_with_model_type(config, other), load))
    return cards


def _refuse_processes(config: "ResolvedConfig", gpus: int) -> bool:
    """Return whether the language model is spread (model.device_map), which one process alone can do.

    Raises:
        SamConfigurationError: It is, and several processes are asked for.
    """
    from lavis_sam.errors import SamConfigurationError

    is_spread = bool(config.model_cfg.get("device_map"))
    if is_spread and gpus > 1:
        raise SamConfigurationError(
            f"plan: --gpus {gpus} means processes, and model.device_map spreads one process's model over all cards; "
            "leave one of them out. The plan says how many cards are needed."
        )
    return is_spread


def _spread_of_family(config: "ResolvedConfig", load: "Load", made: "Plan") -> dict[str, Any]:
    """Model type -> use -> how it fits on several cards, of the configured one and those of its family."""
    from omegaconf import OmegaConf

    from lavis_sam.planning.spread import plan_spread

    own, found = config.model_cfg.model_type, {}
    for other in dict.fromkeys((own, *(_FAMILY if own in _FAMILY else ()))):
        changed = config if other == own else _with_model_type(config, other)
        plain: Any = OmegaConf.to_container(changed.model_cfg, resolve=True)
        found[other] = plan_spread(plain, made if other == own else _planned(changed, load))
    return found


def _planned(config: "ResolvedConfig", load: "Load") -> "Plan":
    from omegaconf import OmegaConf

    from lavis_sam.config.run_settings import RunSettings
    from lavis_sam.planning.forecast import make_plan
    from lavis_sam.planning.sharding import shared_plan
    from lavis_sam.training.sharding import check_settings

    plain: Any = OmegaConf.to_container(config.model_cfg, resolve=True)
    run = RunSettings.from_config(config.run_cfg)
    check_settings(run, plain)
    made = make_plan(plain, load, run.decoding)
    return shared_plan(plain, made) if run.sharding else made


def _with_model_type(config: "ResolvedConfig", model_type: str) -> "ResolvedConfig":
    from lavis_sam.plugin.resolving import ResolvedConfig

    return ResolvedConfig(config.args, {"model.model_type": model_type})


def _cards(made: "Plan") -> dict[str, Any]:
    from lavis_sam.planning.cards import fitting_cards

    return {use: {"bytes": made.memory[use], "fits_on_gb": sizes} for use, sizes in fitting_cards(made.memory).items()}


def _step_seconds(
    config: "ResolvedConfig", load: "Load", given: float | None, log: Path | None, *, to_measure: int | None
) -> tuple[float | None, str | None]:
    """Return the time of a step, and where it is from.

    Args:
        to_measure: The bytes that measuring it needs; None if that was not asked for.

    Raises:
        SamConfigurationError: More than one of the three was asked for, or there is too little memory to measure it.
    """
    from lavis_sam.errors import SamConfigurationError

    if (given is not None) + (log is not None) + (to_measure is not None) > 1:
        raise SamConfigurationError("plan: found several of --step-seconds, --log and --measure, wanted one of them.")
    if to_measure is not None and (packed := config.model_cfg.get("llm_precision")):
        raise SamConfigurationError(
            f"plan: --measure takes random weights, which are not packed, and model.llm_precision is {packed!r}; take "
            "--log of a run, or --step-seconds."
        )
    if to_measure is not None and load.gpus > 1 and config.run_cfg.get("sharding"):
        raise SamConfigurationError(
            "plan: --measure runs one process, which has the whole model, and run.sharding gives it a share; take "
            "--log of a run, or --step-seconds."
        )
    if log is not None:
        from lavis_sam.planning.run_length import logged_step_seconds

        return logged_step_seconds(log), f"the median of {log}"
    if to_measure is not None:
        from omegaconf import OmegaConf

        from lavis_sam import distributed
        from lavis_sam.planning.forecast import planned_model
        from lavis_sam.planning.run_length import check_memory, measured_step_seconds

        device = distributed.choose_device(config.run_cfg.device, distributed.Launch.from_environment())
        check_memory(to_measure, device)
        model = planned_model(OmegaConf.to_container(config.model_cfg, resolve=True))
        return measured_step_seconds(model, load, device), f"measured here on {device}, without loading data"
    return given, None if given is None else "given"


def _samples(config: "ResolvedConfig", given: int | None) -> tuple[int | None, str | None]:
    """Return the number of training samples; or None, and why it is not known."""
    from lavis_sam.errors import SamError

    if given is not None:
        return given, None
    try:
        return _count_samples(config), None
    except (SamError, OSError) as error:  # a plan needs no data
        return None, str(error)


def _count_samples(config: "ResolvedConfig") -> int:
    """Return the samples of the training splits, by the data sets' own builders; images are not looked into."""
    from omegaconf import OmegaConf

    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.plugin.registry import registered_class
    from lavis_sam.plugin.resolving import REGISTERED

    found, own = 0, REGISTERED.own_datasets(config.config)
    for name, section in config.datasets_cfg.items():
        if name not in own:
            raise SamConfigurationError(f"datasets.{name}: a data set of LAVIS's is not counted.")
        wanted: Any = OmegaConf.merge(section)
        annotations = wanted.build_info.annotations
        for split in [split for split in annotations if split not in config.run_cfg.train_splits]:
            del annotations[split]
        if wanted.data_type == "images":
            wanted.build_info.check = "paths"
        builder = registered_class("data set", name, "datasets")(wanted)
        found += sum(len(dataset) for dataset in builder.build_datasets().values())
    return found


def _print(made: "Plan") -> None:
    load, memory = made.load, made.memory
    parts = [(part, str(n), f"{memory['weights'][part] / _GIB:.3f}") for part, n in made.parameters.items()]
    total = ("all", str(made.total_parameters), f"{sum(memory['weights'].values()) / _GIB:.3f}")
    rows = [*parts, total, ("of them trained", str(made.trainable_parameters), "")]
    print_table(("part", "number", "GiB"), rows, "parameters", width=_WIDTH)
    uses = ("gradients", "optimizer", "gathered", "activations", "training", "kv_cache", "generation")
    # Of sharded runs alone, something is gathered.
    found = [(name.replace("_", " "), f"{memory[name] / _GIB:.3f}") for name in uses if name in memory]
    print_table(("what", "GiB"), found, "memory of each GPU", width=_WIDTH)
    printable_console(width=_WIDTH).print(
        f"{made.flops['step'] / 1e12:.3f} TFLOP a step: {load.gpus} GPU(s) x {load.accumulation} batch(es) x "
        f"{load.batch} sample(s) of {load.images} images, {load.text_tokens} + {load.target_tokens} tokens, "
        f"{made.precision}"
    )


def _print_cards(cards: dict[str, Any]) -> None:
    from lavis_sam.planning.cards import CARD_GB

    rows = [
        (model, use, f"{fit['bytes'] / _GIB:.3f}", *("yes" if size in fit["fits_on_gb"] else "no" for size in CARD_GB))
        for model, uses in cards.items()
        for use, fit in uses.items()
    ]
    heads = ("model", "use", "GiB", *(f"{size} GB" for size in CARD_GB))
    print_table(heads, rows, "fits on a card of, with a tenth to spare", left=heads[:2], width=_WIDTH)


def _print_spread(spread: dict[str, Any], *, can_wait: bool) -> None:
    rows = [
        (model, use, f"{one.card_gb} GB", str(one.cards or "no"), _gigabytes(one.waiting))
        for model, uses in spread.items()
        for use, sizes in uses.items()
        for one in sizes
    ]
    heads = ("model", "use", "card", "cards", "or one, and GB in memory")
    print_table(heads, rows, "with model.device_map", left=heads[:2], width=_WIDTH)
    if not can_wait:
        echo("In training, weights can wait in the machine's memory with model.gradient_checkpointing=true alone.")


def _gigabytes(waiting: int | None) -> str:
    return "no" if waiting is None else f"{waiting / 1e9:.1f}"


def _print_length(length: "RunLength | None", epochs: int, source: str | None, missing: str | None) -> None:
    if length is None:
        echo(f"How many steps: give --samples N, as they cannot be counted:\n{missing}")
        return
    echo(
        f"{length.steps} steps: {epochs} epoch(s) of {length.samples} samples, {length.samples_per_step} samples a step"
    )
    if length.hours is None:
        echo("How many hours: give --step-seconds X, --log RUN or --measure.")
    else:
        echo(f"{length.hours:.2f} hours, at {length.step_seconds:.3f} s a step ({source})")


def _print_cache(cache: "CachePlan", images: int) -> None:
    size = f"{cache.entry_bytes / 1e6:.3f} MB an image and crop ({cache.precision})"
    if cache.entries is None or cache.bytes is None:
        echo(f"Feature cache: {size}; give --samples N for all of it.")
    else:
        echo(
            f"Feature cache: at most {cache.bytes / 1e9:.2f} GB of disk for training, {size}, {cache.entries} entries: "
            f"{images} images a sample, {cache.crops} crop(s); images that samples share are stored once"
        )
    echo(
        f"A step then does without {cache.saved_weights / _GIB:.3f} GiB of weights and "
        f"{cache.saved_flops / 1e12:.3f} TFLOP a batch, which the figures above include."
    )
