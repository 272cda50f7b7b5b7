"""The predictor: load a model from anywhere, ask it about images, look at its guidance. Works without LAVIS.

sam_predictor  images and a question in, an answer out
load_model     from a name or a path to a model
exporting      a model in a form that others read; `hub_folder` an adapter to upload
"""

from lavis_sam.predictor.sam_predictor import SamPredictor

__all__ = ["SamPredictor"]
