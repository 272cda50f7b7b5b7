import pytest

from helpers.trained_tiny import trained_tiny_model


@pytest.fixture
def trained_tiny():
    return trained_tiny_model()
