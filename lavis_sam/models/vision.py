"""Step 1, vision: the frozen EVA ViT of BLIP-2 (Fang et al. 2023), with LAVIS's parameter names.

The residual stream and the layer norms stay in float32 while the matrix products run in the weights' type. LAVIS
reaches the same split through autocast; here it is written out, so that bf16 and fp16 need no context and work on any
device.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.layer_norm import Float32LayerNorm

LAYER_NORM_EPS = 1e-6  # EVA's; ln_vision, which follows the ViT, keeps PyTorch's 1e-5


def cast_linear(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    """Apply `layer` in the type of its weights, whatever the type of `inputs`."""
    return layer(inputs.to(layer.weight.dtype))


class PatchEmbedding(nn.Module):
    """Cut the image into patches and embed each one: [·, 3, H, W] -> [·, P - 1, D_v]."""

    def __init__(self, *, image_size: int, patch_size: int, width: int) -> None:
        super().__init__()
        if image_size % patch_size:
            raise SamConfigurationError(
                f"vision: image_size {image_size} is no multiple of patch_size {patch_size}; choose sizes that divide"
            )
        self.num_patches = (image_size // patch_size) ** 2
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed the patches row by row."""
        return self.proj(images.to(self.proj.weight.dtype)).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention whose keys have no bias, as in EVA: bias = (q_bias, 0, v_bias)."""

    def __init__(self, *, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise SamConfigurationError(f"vision: width {width} is no multiple of heads {heads}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Attend over the patches: [·, P, D_v] -> [·, P, D_v]."""
        weight = self.qkv.weight
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias)).to(weight.dtype)
        qkv = F.linear(hidden.to(weight.dtype), weight, bias)
        query, key, value = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, *, width: int, hidden_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map each position: [·, P, D_v] -> [·, P, D_v]."""
        return self.fc2(F.gelu(cast_linear(self.fc1, hidden)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, *, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = Float32LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = Attention(width=width, heads=heads)
        self.norm2 = Float32LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(width=width, hidden_width=int(width * mlp_ratio))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Attend, then map; `hidden` [·, P, D_v] is the float32 residual stream."""
        hidden = hidden + self.attn(self.norm1(hidden))
        return hidden + self.mlp(self.norm2(hidden))


class EvaVisionTransformer(nn.Module):
    """EVA ViT without a final norm; CLS stays at position 0.

    Args:
        image_size: height and width of the images in pixels.
        patch_size: height and width of a patch in pixels.
        width: D_v.
        depth: number of blocks (39 in InstructBLIP: EVA's 40th is not used).
        heads: attention heads.
        mlp_ratio: hidden width of the MLP over D_v, rounded down.
        gradient_checkpointing: recompute the blocks in the backward pass (matters only where something before or in
            the ViT is trained).
    """

    def __init__(
        self,
        *,
        image_size: int = 224,
        patch_size: int = 14,
        width: int = 1408,
        depth: int = 39,
        heads: int = 16,
        mlp_ratio: float = 4.3637,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.num_features = width
        self.gradient_checkpointing = gradient_checkpointing
        self.patch_embed = PatchEmbedding(image_size=image_size, patch_size=patch_size, width=width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patch_embed.num_patches + 1, width))
        self.blocks = nn.ModuleList(Block(width=width, heads=heads, mlp_ratio=mlp_ratio) for _ in range(depth))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images.

        Args:
            images: [·, 3, H, W] with H = W = `image_size`, normalised with CLIP's mean and standard deviation.

        Returns:
            Patch features [·, P, D_v] in float32.

        Raises:
            SamDataError: the images have another size.
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.image_size, self.image_size):
            raise SamDataError(
                f"images of shape {tuple(images.shape)} reached the vision encoder, which takes "
                f"[·, 3, {self.image_size}, {self.image_size}]; resize them with the model's own processor "
                f"(vis_processor.image_size: {self.image_size})"
            )
        patches = self.patch_embed(images)
        hidden = torch.cat((self.cls_token.expand(len(images), -1, -1), patches), dim=1) + self.pos_embed
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                hidden = checkpoint(block, hidden, use_reentrant=False)
            else:
                hidden = block(hidden)
        return hidden


class ReleasedVision(nn.Module):
    """In the place of a vision encoder whose features are all computed: it has its sizes, and no weights.

    Args:
        encoder: the encoder whose weights are let go of.
    """

    def __init__(self, encoder: EvaVisionTransformer) -> None:
        super().__init__()
        self.image_size, self.num_features = encoder.image_size, encoder.num_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Refuse.

        Raises:
            SamConfigurationError: always.
        """
        raise SamConfigurationError(
            f"images of shape {tuple(images.shape)} reached a model whose vision encoder was let go of, as its "
            "features are in run.feature_cache; build the model anew to encode other images"
        )
