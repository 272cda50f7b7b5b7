"""The tiny model as somebody might have trained it."""

import torch

from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.predictor.load_model import load_model


def trained_tiny_model() -> SemanticAlignment:
    """The tiny model with layers that somebody trained, under the released code's reading."""
    model = load_model("tiny", device="cpu", settings={"guidance": {"context": "all"}})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                generator = torch.Generator().manual_seed(len(name))
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model
