"""Experiments: a table of runs, each through `python -m lavis.train`, and what they say together.

sweep_file   the YAML file of a sweep: a base config, rows of settings, seeds
jobs         the runs of a sweep and what is finished of them
executors    several runs at a time on this machine's devices, or as an array of SLURM
findings     scores over seeds: means, intervals, paired tests; cases
page         the report: one HTML page, one JSON file; `guidance_images` draws what guides what in its cases
"""
