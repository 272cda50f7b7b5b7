import pytest

from helpers.trained_tiny import trained_tiny_model


@pytest.fixture(scope="session")
def model():
    return trained_tiny_model()
