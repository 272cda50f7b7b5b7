"""SAM, semantic alignment for multimodal large language models (Wu et al., ACM MM 2024), as a LAVIS plugin.

Importing this package is cheap: it only puts the plugin's import hook in place. Everything else comes with
`import lavis`, or with the module that is asked for.
"""

from lavis_sam.plugin.hook import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lavis_sam.predictor import SamPredictor

__version__ = "0.1.0"
__all__ = ["SamPredictor", "__version__"]

install()


def __getattr__(name: str) -> "Any":
    """Import the predictor, and PyTorch with it, when it is asked for."""
    if name == "SamPredictor":
        from lavis_sam.predictor import SamPredictor

        return SamPredictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
