"""Packaging of lavis_sam: an ordinary setuptools package, and the `.pth` file that makes it a LAVIS plugin.

A `.pth` file in site-packages is the only thing that Python runs before a user's first import, whatever that is. It
has to be there after a wheel install and after an editable one, and to go with the package: so it is part of the wheel,
also of the wheel that an editable install consists of.
"""

import re
from pathlib import Path

from setuptools import Command, find_packages, setup
from setuptools.command.build import build

HERE = Path(__file__).parent
# Python runs these files in the order of their names: ours has to come after `__editable__…`, which an editable install
# writes and which says where the package is.
HOOK_FILE = "lavis_sam_plugin.pth"
HOOK = """\
# Makes lavis_sam known to LAVIS, see lavis_sam/plugin/hook.py. Silent only where the package itself has gone.
import sys; exec("try: import lavis_sam\\nexcept ModuleNotFoundError as e:\\n if e.name != 'lavis_sam': raise")
"""


class BuildHook(Command):
    """A step of `build`: write the `.pth` file to the top of what will be site-packages."""

    description = "write the .pth file that makes lavis_sam a LAVIS plugin"
    user_options = []  # noqa: RUF012 - setuptools wants a class attribute
    editable_mode = False  # setuptools sets it

    def initialize_options(self):
        self.folder = None

    def finalize_options(self):
        # In an editable build nothing in build_lib gets into the wheel; what is in install_lib does.
        if self.editable_mode:
            self.folder = self.get_finalized_command("install").install_lib
        else:
            self.folder = self.get_finalized_command("build").build_lib

    def run(self):
        self.mkpath(self.folder)
        Path(self.folder, HOOK_FILE).write_text(HOOK, encoding="utf-8")

    def get_outputs(self):
        return [] if self.editable_mode else [str(Path(self.folder, HOOK_FILE))]

    def get_output_mapping(self):
        return {}

    def get_source_files(self):
        return []


class Build(build):
    sub_commands = [*build.sub_commands, ("build_hook", None)]  # noqa: RUF012 - as in setuptools


setup(
    name="lavis_sam",
    version=re.search(r'^__version__ = "(.+)"', (HERE / "lavis_sam/__init__.py").read_text("utf-8"), re.M)[1],
    description="SAM, semantic alignment for multimodal large language models (ACM MM 2024), as a LAVIS plugin",
    license="BSD-3-Clause",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.11",
    packages=find_packages(include=["lavis_sam", "lavis_sam.*"]),
    package_data={"lavis_sam": ["py.typed", "ARCHITECTURE.md", "**/*.yaml", "**/*.js", "assets/**/*"]},
    zip_safe=False,
    # Without salesforce-lavis: its pins of 2023 contradict these, and no resolver would find a way. requirements.txt is
    # the resolution, installed with --no-deps.
    install_requires=[
        "fsspec",
        "huggingface_hub",
        "numpy",
        "omegaconf>=2.3",
        "opencv-python-headless",
        "pillow",
        "pycocoevalcap",
        "pyyaml",
        "rich",
        "rouge",
        "safetensors",
        "scipy>=1.15",
        "sentencepiece",
        "torch>=2.4",
        "torchvision",
        "transformers>=4.57",
        "typer",
        "webdataset>=1.0",
    ],
    extras_require={
        "device-map": ["accelerate", "psutil"],
        "demo": ["fastapi", "gradio>=6.31", "uvicorn"],
        "docs": ["mkdocs-material", "mkdocstrings[python]"],
        "logging": ["tensorboard", "wandb"],
        "lora": ["peft"],
        "plots": ["matplotlib"],
        "quantised": ["accelerate", "bitsandbytes>=0.48"],
        "serve": ["fastapi", "prometheus-client", "pydantic>=2", "starlette", "uvicorn"],
        "ray": ["imagehash", "onnxruntime", "pycocotools", "ray>=2.60"],
        "slurm": ["submitit"],
        "synthesis": ["imagehash", "onnxruntime", "pycocotools"],
        "synthesis-gpu": ["diffusers>=0.42", "imagehash", "onnxruntime", "pycocotools"],
    },
    entry_points={
        "console_scripts": ["lavis-sam = lavis_sam.cli:main"],
        "lmms_eval.models": ["lavis_sam = lavis_sam.evaluators.lmms_eval_entry:manifests"],
    },
    cmdclass={"build": Build, "build_hook": BuildHook},
)
