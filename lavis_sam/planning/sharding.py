"""What `run.sharding` makes of a plan: the memory of each process, which holds a share of everything.

Counted so that what fits here fits there: on top of the shares, what is gathered for a whole step, the layer at work
and the next one (as it came and as it is laid out), and the gradients of these, whole and once more as they are sent.
Apart from `forecast`, which is about one process and knows nothing of training.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lavis_sam.planning.forecast import Plan, planned_model
from lavis_sam.training.sharding import gathered_layers

_ADAMW_MOMENTS = 2
_FLOAT32_BYTES = 4


def shared_plan(model_cfg: Mapping[str, Any], plan: Plan) -> Plan:
    """Return the plan of a run whose processes share its model; of one process, the plan itself.

    In `memory` all is of one process: `weights`, `gradients` and `optimizer` its shares, `gathered` what it has of the
    others' at a step's peak, `generation` the shares and the whole model beside them.

    Args:
        model_cfg: The `model` node, as plain containers.
        plan: What `make_plan` made of it.
    """
    processes = plan.load.gpus
    if processes == 1:
        return plan
    model = planned_model(model_cfg)
    layers = [list(layer.parameters()) for layer in gathered_layers(model)]
    known = {id(parameter) for layer in layers for parameter in layer}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known]
    whole = sum(plan.memory["weights"].values())
    weights = {part: -(-size // processes) for part, size in plan.memory["weights"].items()}
    gradients = -(-plan.trainable_parameters * _FLOAT32_BYTES // processes)
    gathered = _bytes(rest) + 3 * max(map(_bytes, layers))
    gathered += 2 * (_trained_bytes(rest) + max(map(_trained_bytes, layers)))
    held = sum(weights.values()) + _ADAMW_MOMENTS * gradients
    memory = plan.memory | {
        "weights": weights,
        "gradients": gradients,
        "optimizer": _ADAMW_MOMENTS * gradients,
        "gathered": gathered,
        "training": held + gradients + gathered + plan.memory["activations"],
        "generation": held + whole + plan.memory["kv_cache"],
    }
    return dataclasses.replace(plan, memory=memory)


def _bytes(parameters: list[Any]) -> int:
    return sum(parameter.nbytes for parameter in parameters)


def _trained_bytes(parameters: list[Any]) -> int:
    return _bytes([parameter for parameter in parameters if parameter.requires_grad])
