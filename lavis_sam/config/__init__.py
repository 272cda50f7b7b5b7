"""The configuration of a run: the YAML file, `--options`, the settings classes, and what can be wrong with them."""
