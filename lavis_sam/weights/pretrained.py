"""The released weight files of the real model, and what each of them must give: EVA ViT-g, InstructBLIP, SAM.

Every loader is checked (`load_checked`): a file of another model, or half a file, never passes silently.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.checkpoint_files import read_checkpoint
from lavis_sam.weights.checkpoints import LoadReport, load_checked

# EVA's classifier, its final norms and what its pre-training alone needed.
EVA_EXTRAS = ("head", "norm", "fc_norm", "lm_head", "mask_token")
# BERT's word predictor, used in BLIP-2's first stage.
INSTRUCTBLIP_EXTRAS = ("Qformer.cls",)


def load_eva_vit(visual_encoder: nn.Module, path: str | Path, *, check_only: bool = False) -> LoadReport:
    """Load EVA's ViT file (eva_vit_g.pth) into the vision encoder.

    The file has one block more than InstructBLIP uses (40 and 39: the features of the last but one are the better ones)
    and a classifier; both are passed over. Position embeddings of another grid are resized.

    Args:
        visual_encoder: The ViT, with EVA's parameter names (`pos_embed` [1, P, D_v], `blocks.…`, …).
        check_only: Say what does not fit, and fill nothing.

    Returns:
        What was filled, by the names within `visual_encoder`.

    Raises:
        SamCheckpointError: The file is missing, damaged or of another architecture.
    """
    state = read_checkpoint(path)
    own = visual_encoder.state_dict()
    if "pos_embed" in state and state["pos_embed"].shape != own["pos_embed"].shape:
        state["pos_embed"] = resize_position_embedding(state["pos_embed"], own["pos_embed"].shape[1], place=str(path))
    surplus = f"blocks.{_count_blocks(own)}"
    return load_checked(
        visual_encoder,
        state,
        provides=("*",),
        ignore=(*EVA_EXTRAS, surplus),
        source=f"{path} (EVA ViT weights)",
        check_only=check_only,
    )


def _count_blocks(state: Mapping[str, Tensor]) -> int:
    return 1 + max((int(name.split(".")[1]) for name in state if name.startswith("blocks.")), default=-1)


def resize_position_embedding(embedding: Tensor, positions: int, *, place: str) -> Tensor:
    """Resize a learned position embedding to another square grid (bicubic); the CLS position stays.

    Args:
        embedding: [1, 1 + grid * grid, D_v].
        positions: The wanted P = 1 + new_grid * new_grid.
        place: What an error names as the source.

    Returns:
        [1, P, D_v], float32.

    Raises:
        SamCheckpointError: The embedding, or P, is not CLS and a square grid.
    """
    if embedding.ndim != 3 or not _is_grid(embedding.shape[1]) or not _is_grid(positions):
        raise SamCheckpointError(
            f"{place}: pos_embed is {list(embedding.shape)} in the file and must serve {positions} positions; both "
            "have to be 1 (CLS) and a square grid of patches. Give the file of this architecture."
        )
    cls, patches = embedding.float().split((1, embedding.shape[1] - 1), dim=1)
    old, new = math.isqrt(patches.shape[1]), math.isqrt(positions - 1)
    grid = patches.unflatten(1, (old, old)).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat((cls, grid.flatten(2).transpose(1, 2)), dim=1)


def _is_grid(positions: int) -> bool:
    return positions > 1 and math.isqrt(positions - 1) ** 2 == positions - 1


def load_instructblip(
    model: nn.Module, path: str | Path, *, with_projection: bool = True, check_only: bool = False
) -> LoadReport:
    """Load InstructBLIP's LAVIS file (instruct_blip_vicuna7b_trimmed.pth): Q-Former, queries, ln_vision, projection.

    Args:
        model: A model with InstructBLIP's parameter names.
        path: The file. A vision encoder in it (older files carry one) is loaded too.
        with_projection: Load the projection, which leads to Vicuna.
        check_only: Say what does not fit, and fill nothing.

    Raises:
        SamCheckpointError: The file is missing, damaged or of another architecture.
    """
    projection = ("llm_proj",)
    return load_checked(
        model,
        read_checkpoint(path),
        provides=("Qformer", "query_tokens", "ln_vision", *(projection if with_projection else ())),
        optional=("visual_encoder",),
        ignore=(*INSTRUCTBLIP_EXTRAS, *(() if with_projection else projection)),
        source=f"{path} (InstructBLIP weights)",
        check_only=check_only,
    )
