"""The entry point of lmms-eval: `--model lavis_sam` finds the model without any setting.

Alone, as lmms-eval imports it whenever it starts, whatever model is asked.
"""

from typing import Any

MODEL = "lavis_sam"


def manifests() -> list[Any]:
    """Return what lmms-eval has to know of our model; entry point of the group `lmms_eval.models`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return [ModelManifest(model_id=MODEL, chat_class_path="lavis_sam.evaluators.lmms_eval_model.LmmsEvalModel")]
