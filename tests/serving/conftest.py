import pytest

from helpers.trained_tiny import trained_tiny_model
from lavis_sam.predictor import SamPredictor


@pytest.fixture(scope="session")
def model():
    return trained_tiny_model()


@pytest.fixture(scope="session")
def predictor(model):
    return SamPredictor(model)
