"""Several samples in one row of the language model, without the padding between them: `model.packing`.

A padded batch is as long as its longest sample, and padding costs what text costs: a sample of two images beside one of
five brings three images of nothing. Here samples follow one another in longer rows. A mask keeps each to itself, and
its positions count from 0, so every real position gets the state that it gets in a batch of its own. A longer row has
more attention to compute, so there are as many rows as cost least.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.language.language_model import LanguageModel, as_language_model

LINEAR_WIDTHS = 6
"""A Llama layer's products with its weights cost a position what attention to this many times D_llm positions costs."""
REMEDY = "Set model.packing=false, which pads as before."


class Rows(NamedTuple):
    """A batch in rows.

    Attributes:
        inputs_embeds: [R, W, D_llm], zero behind a row's last sample.
        mask: [R, 1, W, W], added to attention scores: each position looks at its own sample, up to itself.
        position_ids: int64 [R, W].
        places: int64 [B, T], where each real position of the batch is in the R*W positions of the rows.
    """

    inputs_embeds: Tensor
    mask: Tensor
    position_ids: Tensor
    places: Tensor


def require_packing(llm_model: Any) -> None:
    """Refuse a language model that cannot read several samples in one row.

    Raises:
        SamConfigurationError: Naming it.
    """
    if not getattr(as_language_model(llm_model), "reads_packed_rows", False):
        raise SamConfigurationError(
            f"model.packing is true, and the language model, a {type(llm_model).__name__}, cannot read several samples "
            "in one row: that needs rotary positions, eager or sdpa attention, no sliding window, and no VPG-C, which "
            f"changes the states of a row for one sample. {REMEDY}"
        )


def read_packed(
    language: LanguageModel, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, wanted: Tensor
) -> Tensor:
    """Return the hidden states [wanted, D_llm] at some real positions of a batch, sample by sample.

    A batch that would have no less to compute in rows is read as it is.

    Args:
        language: the language model.
        inputs_embeds: [B, T, D_llm].
        attention_mask: int64 [B, T], 0 at padding.
        position_ids: int64 [B, T].
        wanted: bool [B, T].

    Raises:
        SamConfigurationError: See `require_packing`.
    """
    require_packing(language)
    plan = plan_rows(attention_mask.sum(dim=1).tolist(), attention_mask.shape[1], inputs_embeds.shape[2])
    if plan is None:
        return language.hidden(inputs_embeds, attention_mask, position_ids).states[wanted]
    rows = pack(plan, inputs_embeds, attention_mask, position_ids)
    states = language.hidden(rows.inputs_embeds, rows.mask, rows.position_ids).states
    return states.flatten(0, 1)[rows.places[wanted].to(states.device)]


def plan_rows(lengths: Sequence[int], padded: int, width: int) -> list[list[int]] | None:
    """Say which samples share a row, at the least cost; None where no plan costs less than the padded batch.

    Args:
        lengths: real positions of each sample.
        padded: positions of a row of the padded batch.
        width: D_llm.

    Returns:
        The numbers of each row's samples.
    """
    best, least = None, _cost(len(lengths), padded, width)
    longest_first = sorted(range(len(lengths)), key=lambda sample: -lengths[sample])
    for count in range(len(lengths), 0, -1):
        rows: list[list[int]] = [[] for _ in range(count)]
        filled = [0] * count
        for sample in longest_first:
            row = filled.index(min(filled))
            rows[row].append(sample)
            filled[row] += lengths[sample]
        cost = _cost(count, max(filled), width)
        if cost < least:
            best, least = rows, cost
    return best


def pack(plan: Sequence[Sequence[int]], inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Rows:
    """Put the samples of a batch into rows.

    Args:
        plan: What `plan_rows` said.
        inputs_embeds: [B, T, D_llm].
        attention_mask: int64 [B, T], 0 at padding.
        position_ids: int64 [B, T].
    """
    lengths, device = attention_mask.sum(dim=1).tolist(), inputs_embeds.device
    width = max(sum(lengths[sample] for sample in row) for row in plan)
    starts = [0] * len(lengths)
    for number, row in enumerate(plan):
        start = number * width
        for sample in row:
            starts[sample], start = start, start + lengths[sample]
    is_real = attention_mask.bool()
    places = torch.tensor(starts, device=device).unsqueeze(1) + attention_mask.cumsum(dim=1) - 1
    real_places, size = places[is_real], len(plan) * width

    embeds = inputs_embeds.new_zeros(size, inputs_embeds.shape[2]).index_copy(0, real_places, inputs_embeds[is_real])
    positions = position_ids.new_zeros(size).index_copy(0, real_places, position_ids[is_real])
    # Behind the last sample of a row stands one more, -1, so that no position is without another to look at.
    samples = torch.arange(len(lengths), device=device).unsqueeze(1).expand_as(places)
    samples = samples.new_full((size,), -1).index_copy(0, real_places, samples[is_real]).view(len(plan), width)
    is_visible = (samples.unsqueeze(2) == samples.unsqueeze(1)).tril()
    mask = torch.zeros(is_visible.shape, dtype=embeds.dtype, device=device)
    mask = mask.masked_fill(~is_visible, torch.finfo(embeds.dtype).min).unsqueeze(1)
    return Rows(embeds.view(len(plan), width, -1), mask, positions.view(len(plan), width), places)


def _cost(rows: int, positions: int, width: int) -> int:
    return rows * positions * (LINEAR_WIDTHS * width + positions)
