"""Looking at the guidance: which image, and which of its patches, guides which other image.

At the default l = k = 12 the last layer has no cross-attention, and the W stream's last one is shared by all images of
a sample, so attention maps alone cannot answer that. `measures` has three answers, `drawing` shows them.
"""

from lavis_sam.explain.measures import Explanation, explain_sample

__all__ = ["Explanation", "explain_sample"]
