"""bitsandbytes' 8-bit layer, which can be moved; imported where `model.llm_precision` is int8 alone."""

from collections.abc import Callable
from typing import Any

from bitsandbytes.nn import Linear8bitLt


class Int8Linear(Linear8bitLt):
    """A layer of 8-bit weights that follows when the model around it moves.

    bitsandbytes keeps the packed matrix and its scales in the parameter, and after the first product in the layer's
    state. Moving a model moves the parameter's own numbers alone, and the product would meet two devices.
    """

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Int8Linear":
        super()._apply(fn, recurse)
        for holder in (self.weight, self.state):
            if holder.CB is not None:
                holder.CB, holder.SCB = self.weight.data, holder.SCB.to(self.weight.device)
        return self
