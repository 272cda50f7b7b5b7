"""The predictor: load a model from anywhere, ask it about images, look at its guidance. Works without LAVIS."""

from lavis_sam.predictor.sam_predictor import SamPredictor

__all__ = ["SamPredictor"]
