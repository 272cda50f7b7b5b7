"""Scores -> tables and comparisons. Nothing here imports LAVIS.

published       the paper's printed numbers, as data
tables          measured results beside published ones
comparison      two models on the same samples
"""
