"""Makes a folder of the base that projects/sam/tiny/pretrain.yaml, or pretrain_vision.yaml before it, trained.

    python tools/make_tiny_base.py output/sam/tiny_base/base FOLDER

writes an InstructBLIP folder in transformers' layout, in fp16, from the best checkpoint of the run.
"""

import json
import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf

from lavis_sam.run_layout import checkpoint_of, config_of
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoint_files import load_file, unwrap
from lavis_sam.weights.checkpoints import load_checked
from lavis_sam.weights.instructblip_export import save_instructblip

MOST_BYTES = 10_000_000


def main(run: Path, target: Path) -> None:
    """Writes the folder, with the tokenizers that the run was trained with."""
    settings = OmegaConf.to_container(OmegaConf.load(config_of(run)), resolve=True)["model"]
    model = build_model({**settings, "inject": {}, "load_finetuned": False})
    checkpoint = checkpoint_of(run)
    state = unwrap(load_file(checkpoint), checkpoint)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    load_checked(model, state, provides=trained, ignore=["patch_words", "query_words"], source=str(checkpoint))
    save_instructblip(target, model, dtype=torch.float16)
    (target / "README.md").unlink()  # it speaks of Vicuna's licence, and this base is another
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        sys.exit(f"{target}: {size:,} bytes, wanted at most {MOST_BYTES:,}")
    sys.stdout.write(json.dumps({"checkpoint": checkpoint.name, "folder": str(target), "bytes": size}) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
