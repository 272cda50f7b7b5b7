"""`lavis-sam plan`: what a training run will need, without weights and data."""

from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.cli.run_options import CfgPath, ConfigAndWords, Option, read_config
from lavis_sam.terminal import echo, printable_console

if TYPE_CHECKING:
    from lavis_sam.planning.forecast import Plan

_GIB = 2**30
_WIDTH = 100


def plan(
    words: ConfigAndWords = None,
    cfg_path: CfgPath = None,
    options: Option = None,
    images: Annotated[int, typer.Option(help="Images of a sample.")] = 2,
    text_tokens: Annotated[int, typer.Option(help="Tokens of an instruction.")] = 32,
    target_tokens: Annotated[int, typer.Option(help="Tokens of an answer.")] = 32,
    gpus: Annotated[int, typer.Option(help="Processes, one a GPU.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the plan as JSON, nothing else; bytes and FLOPs.")
    ] = False,
) -> None:
    """Say how many parameters, how much memory and how many FLOPs a run needs, part by part.

    Sizes come from `model.model_type`, batch and precision from the configuration. The model's own code runs one step
    on tensors without storage, so neither weights nor data nor a GPU are needed.

    \b
    Examples:
      lavis-sam plan projects/sam/train.yaml --gpus 4
      lavis-sam plan --cfg-path projects/sam/train.yaml --options model.gradient_checkpointing=true --json
    """
    from omegaconf import OmegaConf

    from lavis_sam.files import to_json
    from lavis_sam.planning.forecast import Load, make_plan

    config = read_config(cfg_path, options, words)
    run = config.run_cfg
    load = Load(
        batch=run.batch_size_train,
        images=images,
        text_tokens=text_tokens,
        target_tokens=target_tokens,
        gpus=gpus,
        accumulation=run.accum_grad_iters,
        eval_batch=run.batch_size_eval,
    )
    made = make_plan(OmegaConf.to_container(config.model_cfg, resolve=True), load, run.decoding)
    if as_json:
        echo(to_json(made))
    else:
        _print(made)


def _print(made: "Plan") -> None:
    from rich import box
    from rich.table import Table

    console, load, memory = printable_console(width=_WIDTH), made.load, made.memory
    table = Table(title="parameters", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("part", "number", "GiB"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part, number in made.parameters.items():
        table.add_row(part, str(number), f"{memory['weights'][part] / _GIB:.3f}")
    table.add_row("all", str(made.total_parameters), f"{sum(memory['weights'].values()) / _GIB:.3f}")
    table.add_row("of them trained", str(made.trainable_parameters), "")
    console.print(table)
    table = Table(title="memory of each GPU", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("GiB", justify="right")
    for name in ("gradients", "optimizer", "activations", "training", "kv_cache", "generation"):
        table.add_row(name.replace("_", " "), f"{memory[name] / _GIB:.3f}")
    console.print(table)
    console.print(
        f"{made.flops['step'] / 1e12:.3f} TFLOP a step: {load.gpus} GPU(s) x {load.accumulation} batch(es) x "
        f"{load.batch} sample(s) of {load.images} images, {load.text_tokens} + {load.target_tokens} tokens, "
        f"{made.precision}"
    )
