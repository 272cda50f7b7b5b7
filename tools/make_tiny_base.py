"""Puts the base that projects/sam/tiny/pretrain.yaml trained into the package.

    python tools/make_tiny_base.py output/sam/tiny_base/base

writes lavis_sam/assets/tiny/base, an InstructBLIP folder in transformers' layout (fp16), from the best checkpoint.
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

TARGET = Path(__file__).resolve().parents[1] / "lavis_sam" / "assets" / "tiny" / "base"
MOST_BYTES = 10_000_000


def main(run: Path) -> None:
    """Writes the folder; the tokenizers in it must be those that the run was trained with."""
    settings = OmegaConf.to_container(OmegaConf.load(config_of(run)), resolve=True)["model"]
    model = build_model({**settings, "inject": {}, "load_finetuned": False})
    checkpoint = checkpoint_of(run)
    state = unwrap(load_file(checkpoint), checkpoint)
    load_checked(model, state, provides=["*"], ignore=["patch_words"], source=str(checkpoint))
    save_instructblip(TARGET, model, dtype=torch.float16)
    (TARGET / "README.md").unlink()  # the model card is ours, beside the folder
    size = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        sys.exit(f"{TARGET}: {size:,} bytes, wanted at most {MOST_BYTES:,}")
    sys.stdout.write(json.dumps({"checkpoint": checkpoint.name, "folder": str(TARGET), "bytes": size}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
