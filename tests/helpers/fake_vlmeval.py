"""What our modules take from VLMEvalKit, as far as their tests need it; the end-to-end test has the real one."""

import argparse
import contextlib
import logging
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

OURS = tuple(f"lavis_sam.evaluators.vlmeval_{name}" for name in ("dataset", "launch", "model"))


class FakeModel:
    """Its base class of models."""

    def __init__(self):
        self.dump_image_func = None

    def set_dump_image(self, dump_image_func):
        self.dump_image_func = dump_image_func

    def check_content(self, inputs):
        return "listdict" if isinstance(inputs, list) and all(isinstance(one, dict) for one in inputs) else "str"

    def preproc_content(self, inputs):
        return [{"type": "text", "value": inputs}]

    def generate(self, message, dataset=None):
        return self.generate_inner(self.preproc_content(message), dataset)


def parse_args():
    """Its command line, as far as ours reads it."""
    parser = argparse.ArgumentParser("vlmeval")
    for option in ("--data", "--model"):
        parser.add_argument(option, nargs="+")
    parser.add_argument("--config")
    parser.add_argument("--base-url")
    parser.add_argument("--api-mode", action="store_true")
    parser.add_argument("--work-dir", default="./outputs")
    return parser.parse_args()


@contextlib.contextmanager
def installed():
    """VLMEvalKit's modules, until the block ends; `run.main` is for the test to write."""
    names = ("run", "config", "dataset", "dataset.image_base", "inference", "smp", "vlm", "vlm.base")
    fakes = {"vlmeval": ModuleType("vlmeval"), **{f"vlmeval.{name}": ModuleType(f"vlmeval.{name}") for name in names}}
    fakes["vlmeval"].__spec__ = ModuleSpec("vlmeval", None)
    for name, module in fakes.items():
        above, _, last = name.rpartition(".")
        if above:
            setattr(fakes[above], last, module)
    fakes["vlmeval.vlm.base"].BaseModel = FakeModel
    fakes["vlmeval.config"].supported_VLM = {}
    fakes["vlmeval.dataset"].DATASET_CLASSES = []
    fakes["vlmeval.dataset"].DATASET_TYPE = lambda name: "MCQ" if name == "BLINK" else "VQA"
    fakes["vlmeval.dataset.image_base"].ImageBaseDataset = type("ImageBaseDataset", (), {})
    fakes["vlmeval.smp"].LMUDataRoot = lambda: os.environ["LMUData"]  # noqa: SIM112 - its own name
    fakes["vlmeval.inference"].load = lambda path: f"loaded {path}"
    run = fakes["vlmeval.run"]
    run.parse_args, run.logger = parse_args, logging.getLogger("vlmeval.run")
    with pytest.MonkeyPatch.context() as patch:
        for name, module in fakes.items():
            patch.setitem(sys.modules, name, module)
        for name in OURS:
            patch.delitem(sys.modules, name, raising=False)
        yield SimpleNamespace(
            run=run,
            models=fakes["vlmeval.config"].supported_VLM,
            classes=fakes["vlmeval.dataset"].DATASET_CLASSES,
            inference=fakes["vlmeval.inference"],
        )
    for name in OURS:
        sys.modules.pop(name, None)
