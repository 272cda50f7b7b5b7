"""Small fakes for LAVIS, torch and transformers: the plugin's mechanism is tested without seconds of imports.

They have what the plugin touches, in LAVIS 1.0.2's own form, and nothing else. The integration tests use the real ones.
"""

import shutil
import textwrap
from pathlib import Path

from helpers.environments import REPOSITORY
from lavis_sam.plugin.hook import REGISTERED_MODULES

LAVIS = {
    "lavis/__init__.py": """
        # Fails like the real one where the plugin has not prepared the ground.
        import spacy, decord
        from transformers.modeling_utils import apply_chunking_to_forward, find_pruneable_heads_and_indices
        from transformers.pytorch_utils import prune_linear_layer
        from transformers.utils.model_parallel_utils import assert_device_map, get_device_map
        decord.bridge.set_bridge("torch")
        from lavis.common.registry import registry
        from lavis.models import *
    """,
    "lavis/common/__init__.py": "",
    "lavis/common/registry.py": """
        class Registry:
            mapping = {"model_name_mapping": {}, "builder_name_mapping": {}}

            def get_model_class(self, name):
                return self.mapping["model_name_mapping"].get(name)

            def list_models(self):
                return sorted(self.mapping["model_name_mapping"])

            get_task_class = get_runner_class = get_builder_class = get_model_class
            get_processor_class = get_lr_scheduler_class = get_model_class
            list_tasks = list_runners = list_datasets = list_processors = list_lr_schedulers = list_models

        registry = Registry()
    """,
    "lavis/models/__init__.py": """
        from types import SimpleNamespace
        from lavis.common.registry import registry

        __all__ = ["load_model"]

        class Theirs:
            PRETRAINED_MODEL_CONFIG_DICT = {"base": "", "large": ""}
            def default_config_path(model_type): ...

        registry.mapping["model_name_mapping"]["theirs"] = Theirs
        model_zoo = SimpleNamespace(model_zoo={"theirs": ["base", "large"]})

        def load_model(name, model_type, is_eval=False, device="cpu", checkpoint=None):
            return name, model_type, is_eval, device, checkpoint

        def load_model_and_preprocess(name, model_type, is_eval=False, device="cpu"):
            return name, model_type, is_eval, device
    """,
    "lavis/datasets/__init__.py": "",
    "lavis/datasets/builders/__init__.py": """
        from types import SimpleNamespace
        dataset_zoo = SimpleNamespace(dataset_zoo={"a_set": ["default"], "z_set": ["default"]})
    """,
}
TORCH = {"torch.py": "class Tensor: ..."}
TRANSFORMERS = {
    "transformers/__init__.py": "",
    "transformers/modeling_utils.py": "",
    "transformers/pytorch_utils.py": "def apply_chunking_to_forward(): ...\ndef prune_linear_layer(): ...",
    "transformers/utils/__init__.py": "",
}
MODEL = """
    from lavis.common.registry import registry

    class Ours:
        PRETRAINED_MODEL_CONFIG_DICT = {"vicuna7b": "", "tiny": ""}
        def default_config_path(model_type=None): ...

    names = registry.mapping["model_name_mapping"]
    if "ours" in names:
        raise KeyError("Name 'ours' already registered")
    names["ours"] = Ours
"""
BUILDERS = """
    import lavis_sam.plugin.processors
    from lavis.common.registry import registry

    class Builder:
        DATASET_CONFIG_DICT = {"default": "", "small": ""}

    registry.mapping["builder_name_mapping"]["m_set"] = Builder
"""
# What the others do: they use LAVIS, and each other.
ROOM = """
    import lavis.models
    from lavis_sam.plugin.processors import ready
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files given by name and indented text."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def world(folder: Path, **changed: str) -> Path:
    """A folder for `PYTHONPATH`: the real plugin among fakes for its neighbours and for our registered modules.

    Args:
        folder: Where to write.
        **changed: Room -> text of its module in place of the fake ("model", "processors", "builders", "task",
            "schedules", "runner").
    """
    write(folder, LAVIS | TORCH | TRANSFORMERS)
    ours = folder / "lavis_sam"
    shutil.copytree(REPOSITORY / "lavis_sam/plugin", ours / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "errors.py", "imports.py", "config/__init__.py", "config/names.py"):
        (ours / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / "lavis_sam" / name, ours / name)
    rooms = {"model": MODEL, "processors": "import lavis.models\nready = True", "builders": BUILDERS} | changed
    files = {
        f"{module.replace('.', '/')}.py": rooms.get(module.rpartition(".")[2], ROOM) for module in REGISTERED_MODULES
    }
    return write(folder, files)
