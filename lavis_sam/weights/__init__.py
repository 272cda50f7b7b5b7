"""Weights: files in and out of a model. Nothing here imports LAVIS."""
