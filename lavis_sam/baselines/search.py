"""The published decoding in transformers' words."""

from typing import Any

from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.decoding import Decoding


def check_comparable(decoding: Decoding) -> None:
    """Refuse what an evaluation cannot use.

    Raises:
        SamConfigurationError: Sampling, or several answers.
    """
    if decoding.use_nucleus_sampling or decoding.num_captions != 1:
        raise SamConfigurationError(
            f"found use_nucleus_sampling {decoding.use_nucleus_sampling} and num_captions {decoding.num_captions}, "
            "wanted false and 1: a baseline gives one answer, and the same one every time."
        )


def search_arguments(decoding: Decoding, *, prompt_length: int) -> dict[str, Any]:
    """Arguments of transformers' `generate`.

    The repetition penalty looks at what was written alone, as SAM's does; transformers' own would also look at the
    prompt, and at every `<image>` in it.

    Args:
        prompt_length: Tokens of the prompt that `generate` is given as ids; 0 if it gets embeddings.
    """
    arguments = {
        "do_sample": False,
        "num_beams": decoding.num_beams,
        "max_new_tokens": decoding.max_length - 1,  # the released code's invisible start token counts
        "length_penalty": decoding.length_penalty,
        "repetition_penalty": 1.0,
    }
    if decoding.min_length > 1:
        arguments["min_new_tokens"] = decoding.min_length - 1
    if decoding.repetition_penalty != 1:
        penalty = RepetitionPenaltyLogitsProcessor(
            float(decoding.repetition_penalty), prompt_ignore_length=prompt_length
        )
        arguments["logits_processor"] = LogitsProcessorList([penalty])
    return arguments
