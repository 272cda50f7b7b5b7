"""How many bytes a batch needs while it is answered, by sizes alone: what `run.batch_gb_eval` fills batches by.

The language model's keys and values are nearly all of it, and are counted as `lavis-sam plan` counts them. Weights are
not in it: they are there before.
"""

from typing import Any, Protocol

from torch import nn

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.kv_cache import most_cache_bytes, position_bytes


class BatchMemory(Protocol):
    """What samples need, as a model says it before it answers them."""

    def size(self, sample: MultiImageSample) -> tuple[int, int]:
        """Return a sample's number of images, and of its instruction's tokens."""
        ...

    def batch_bytes(self, samples: int, images: int, text: int) -> int:
        """Return the bytes of a batch, given the most images and the most text tokens of a sample in it."""
        ...


class SamMemory:
    """The memory of SAM's answers; it grows with samples, images and text tokens.

    Args:
        model: A `SemanticAlignment`.
        decoding: How its answers are written.
    """

    def __init__(self, model: nn.Module, decoding: Decoding) -> None:
        self._model: Any = model
        self._decoding = decoding

    def size(self, sample: MultiImageSample) -> tuple[int, int]:
        """See `BatchMemory`."""
        return len(sample.images), len(self._model.llm_tokenizer.encode(sample.instruction))

    def batch_bytes(self, samples: int, images: int, text: int) -> int:
        """See `BatchMemory`: the most of three times, as the batch goes through ViT, prompt and answer."""
        llm, encoder = self._model.llm_model, self._model.visual_encoder
        prompt = images * self._model.query_tokens.shape[1] + text
        size = llm.get_input_embeddings().weight.element_size()
        # A layer's stream, its attention's four products, and those of its MLP.
        layer = (6 * llm.config.hidden_size + 3 * llm.config.intermediate_size) * size
        reading = prompt * (position_bytes(llm) + layer)
        # Float32 scores of every word: the logits, their probabilities, and what the search makes of these.
        scores = self._decoding.branches * llm.config.vocab_size * 3 * 4
        writing = most_cache_bytes(llm, prompt, self._decoding) + scores
        return samples * max(images * _image_bytes(encoder), reading, writing)


def _image_bytes(encoder: Any) -> int:
    """Return the bytes of an image in a layer of the ViT; none where a feature cache has let go of it."""
    blocks = getattr(encoder, "blocks", None)
    if blocks is None:
        return 0
    linear = blocks[0].mlp.fc1
    patches: int = encoder.pos_embed.shape[1]
    values: int = 6 * linear.in_features + 2 * linear.out_features
    return patches * values * linear.weight.element_size()
