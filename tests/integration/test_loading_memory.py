"""A base of several gigabytes is never in memory twice, in either layout. About five minutes and 8 GB of disk."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from helpers.instructblip import TOKENIZERS, transformers_model, write_folder
from helpers.models import SIZES, small_model
from helpers.weights import write_release
from lavis_sam.models.sizes import LanguageSizes

pytestmark = pytest.mark.integration

# The most memory that loading may take, as a multiple of what the loaded model occupies.
LIMIT = 1.3
# Mostly language model, as the real one is; 24 layers of 16.8 million numbers, 3.2 GB in float32 with the rest.
LARGE = replace(SIZES, language=LanguageSizes(width=2048, layers=16, heads=16, intermediate=5504, max_positions=512))

LOAD = """
import json, sys
from omegaconf import OmegaConf
from lavis_sam.weights.build_model import build_model

config = OmegaConf.create(json.load(open(sys.argv[1])))
model = build_model(config)
for parameter in model.parameters():
    parameter.sum()  # what is only mapped so far is read now
size = sum(p.numel() * p.element_size() for p in model.parameters())
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({"size": size, "peak": int(status["VmHWM"].split()[0]) * 1024}))
"""


@pytest.fixture(scope="module")
def transformers_folder(tmp_path_factory):
    model = transformers_model(sizes=LARGE, std=0.02)
    folder = tmp_path_factory.mktemp("large") / "instructblip"
    write_folder(model, folder, shards=False)
    del model
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def lavis_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    yield write_release(folder, small_model(sizes=LARGE))
    shutil.rmtree(folder)


def measure(tmp_path, files, precision):
    from omegaconf import OmegaConf

    from lavis_sam.weights.packaged import MODEL_CONFIGS
    from lavis_sam.weights.tokenizers import load_q_former_tokenizer, load_tokenizer

    sizes = asdict(LARGE)
    sizes["q_former"]["vocabulary"] = len(load_q_former_tokenizer(TOKENIZERS))
    sizes["language"]["vocabulary"] = len(load_tokenizer(TOKENIZERS))
    packaged = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["vicuna7b"]).model)
    guidance = {**packaged["guidance"], "layer_l": 4, "layer_k": 4}
    config = {**packaged, "sizes": sizes, "guidance": guidance, "precision": precision, "finetuned": "", **files}
    path = Path(tmp_path / "config.json")
    path.write_text(json.dumps(config))
    output = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=False, timeout=900
    )
    assert output.returncode == 0, output.stderr
    found = json.loads(output.stdout.splitlines()[-1])
    print(precision, {key: f"{value / 1e9:.2f} GB" for key, value in found.items()})
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_transformers_folder_peaks_near_one_copy(tmp_path, transformers_folder, precision):
    found = measure(tmp_path, {"pretrained": str(transformers_folder)}, precision)
    assert found["size"] > (3e9 if precision == "fp32" else 1.5e9)
    overhead = imports()
    assert found["peak"] < LIMIT * found["size"] + (overhead if precision == "bf16" else 0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lavis_files_peak_near_one_copy(tmp_path, lavis_files, precision):
    found = measure(tmp_path, lavis_files, precision)
    assert found["size"] > (3e9 if precision == "fp32" else 1.5e9)
    assert found["peak"] < LIMIT * found["size"] + (imports() if precision == "bf16" else 0)


def imports():
    """Bytes that Python with PyTorch and transformers takes before anything is loaded."""
    code = "import lavis_sam.weights.build_model; print(open('/proc/self/status').read())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout
    return int(said.split("VmHWM:")[1].split()[0]) * 1024


def test_sizes_are_what_this_file_says():
    with torch.device("meta"):
        model = torch.nn.Linear(LARGE.language.width, LARGE.language.intermediate)
    assert model.weight.numel() == 2048 * 5504
