"""The configuration of a run: the YAML file, `--options`, the settings classes, and what can be wrong with them.

settings        the one reader of settings classes; `names` has its message for an unknown name
run_settings    the section `run`
yaml_files      a YAML file, without numbers that mean something else than they say
option_values   what the text of an option means
resolve         defaults, file and options to one configuration
checks          what can be wrong with it, before anything is built
literal         a stranger's values, so that OmegaConf does not interpret them
"""
