"""lmms-eval finds the model by the entry point of the installed package."""

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

from lavis_sam.evaluators import lmms_eval_entry


def test_the_manifest_names_the_chat_model(monkeypatch):
    registry = ModuleType("lmms_eval.models.registry_v2")
    registry.ModelManifest = SimpleNamespace
    for name in ("lmms_eval", "lmms_eval.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, registry.__name__, registry)
    (manifest,) = lmms_eval_entry.manifests()
    assert manifest.model_id == "lavis_sam"
    module, name = manifest.chat_class_path.rsplit(".", 1)
    source = Path(lmms_eval_entry.__file__).with_name(module.rsplit(".", 1)[1] + ".py")
    classes = [node.name for node in ast.parse(source.read_text()).body if isinstance(node, ast.ClassDef)]
    assert name in classes


def test_setup_declares_the_entry_point():
    setup = (Path(lmms_eval_entry.__file__).parents[2] / "setup.py").read_text()
    assert '"lmms_eval.models": ["lavis_sam = lavis_sam.evaluators.lmms_eval_entry:manifests"]' in setup
    assert import_module("lavis_sam.evaluators.lmms_eval_entry").manifests is lmms_eval_entry.manifests
