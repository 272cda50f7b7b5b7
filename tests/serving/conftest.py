import pytest
import torch

from lavis_sam.predictor import SamPredictor
from lavis_sam.predictor.load_model import load_model


@pytest.fixture(scope="session")
def model():
    """The tiny model with layers that somebody trained."""
    model = load_model("tiny", device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                generator = torch.Generator().manual_seed(len(name))
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return model


@pytest.fixture(scope="session")
def predictor(model):
    return SamPredictor(model)
