"""The three errors that lavis_sam raises on purpose.

Each message names the value found, the value wanted, the place (file, key or sample id) and the remedy. They share
`SamError`, which the command line turns into one clear line and an exit code instead of a traceback.
"""


class SamError(Exception):
    """Base class of every error that lavis_sam raises on purpose."""


class SamConfigurationError(SamError, ValueError):
    """A setting or argument has an unknown name, a wrong type or an impossible value."""


class SamDataError(SamError, ValueError):
    """An annotation, image, shard or prediction file is not what its format promises."""


class SamCheckpointError(SamError, RuntimeError):
    """Weights or tokenizer files are missing, damaged or of another architecture."""
