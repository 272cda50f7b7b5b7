"""Keys and values of texts that are written: several branches (beams, captions) continue one prompt.

`SharedPromptCache` keeps a sample's prompt once for all of its branches. Its branches are the query positions of one
row, and each token that a branch reads becomes one more position of that row. A mask says which positions a branch
descends from, so a change of beams changes the mask; keys and values stay where they are. Positions that no branch
descends from any more are dropped when the room is used up.

`RowCache` gives each branch a row of its own with its own copy of the prompt. It works with any language model.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import LanguageModel, as_language_model
from lavis_sam.models.language.sequence import count_positions

STEPS_OF_ROOM = 32
"""For how many steps there is room at first, and how many are added when that is used up."""


def most_cache_bytes(llm_model: Any, prompt: int, decoding: Decoding) -> int:
    """Return the most bytes of keys and values while a sample's answers are written, in the cache of `read_prompts`.

    Args:
        llm_model: a causal model of transformers'.
        prompt: positions of the prompt.
        decoding: how to decode.
    """
    kind = _kind(as_language_model(llm_model), DynamicCache(config=llm_model.config))
    return position_bytes(llm_model) * kind.most_positions(prompt, decoding.branches, decoding.max_length - 1)


def position_bytes(llm_model: Any) -> int:
    """Return the bytes of one position's keys and values in all layers of a causal model of transformers'."""
    config, weight = llm_model.config, llm_model.get_input_embeddings().weight
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * config.num_key_value_heads * head * weight.element_size())


class BranchCache(Protocol):
    """R = B * branches texts, sample by sample, that a language model has read."""

    def select(self, rows: Tensor) -> None:
        """Go on with these rows [R']: all branches of the samples that stay, in the samples' order."""
        ...

    def read(self, embedded: Tensor) -> Tensor:
        """Read one token [R, D_llm] more in each row; the hidden states [R, D_llm] there."""
        ...


def read_prompts(
    language: LanguageModel, inputs_embeds: Tensor, attention_mask: Tensor, branches: int
) -> tuple[Tensor, BranchCache]:
    """Read B prompts, each once, of which `branches` continuations will be written.

    Args:
        language: what reads.
        inputs_embeds: [B, T, D_llm].
        attention_mask: int64 [B, T], 0 at padding; the last column is real everywhere.
        branches: how many texts continue each prompt.

    Returns:
        The hidden states [B, D_llm] of the last position, and the cache of B * branches rows.
    """
    output = language.hidden(inputs_embeds, attention_mask, count_positions(attention_mask), use_cache=True)
    kind = _kind(language, output.cache)
    return output.states[:, -1], kind(language, output.cache, attention_mask, branches)


def _kind(language: LanguageModel, cache: Any) -> "type[RowCache] | type[SharedPromptCache]":
    """Return how the branches of a language model continue a cache such as this one."""
    # A layer with a sliding window looks at the last positions of a row, which belong to several branches when shared.
    layers = getattr(cache, "layers", [None])
    is_shared = getattr(language, "reads_4d_masks", False) and all(type(layer) is DynamicLayer for layer in layers)
    return SharedPromptCache if is_shared else RowCache


class RowCache:
    """A row for each branch; see the module.

    Args:
        language: what reads.
        cache: what it made of B prompts.
        attention_mask: int64 [B, T], of these prompts.
        branches: rows of each sample.
    """

    def __init__(self, language: LanguageModel, cache: Any, attention_mask: Tensor, branches: int) -> None:
        self._language, self._cache, self._mask = language, cache, attention_mask
        rows = torch.arange(len(attention_mask), device=attention_mask.device)
        self.select(rows.repeat_interleave(branches))

    @staticmethod
    def most_positions(prompt: int, branches: int, steps: int) -> int:
        """Return the most positions of a sample after so many steps; a sliding window may leave fewer."""
        return branches * (prompt + steps)

    def select(self, rows: Tensor) -> None:
        """See `BranchCache`."""
        self._cache.reorder_cache(rows)
        self._mask = self._mask[rows]

    def read(self, embedded: Tensor) -> Tensor:
        """See `BranchCache`."""
        position_ids = self._mask.sum(dim=1, keepdim=True)
        self._mask = torch.cat((self._mask, torch.ones_like(position_ids)), dim=1)
        output = self._language.hidden(
            embedded.unsqueeze(1), self._mask, position_ids, cache=self._cache, use_cache=True
        )
        self._cache = output.cache
        return output.states[:, -1]


class SharedPromptCache:
    """A row for each sample; see the module. The arguments are those of `RowCache`.

    The cache is transformers' own; its layers are replaced.
    """

    def __init__(self, language: LanguageModel, cache: Any, attention_mask: Tensor, branches: int) -> None:
        self._language, self._cache, self._branches = language, cache, branches
        self._prompt = attention_mask.shape[1]
        self._room = STEPS_OF_ROOM * branches  # positions behind the prompt
        self._next_position = attention_mask.sum(dim=1, keepdim=True)
        # bool [B, branches, positions]: whether a branch descends from what was read there.
        self._visible = attention_mask.bool().unsqueeze(1).expand(-1, branches, -1)
        # One after the other, so that the prompt is never there twice in all layers.
        for number, layer in enumerate(cache.layers):
            cache.layers[number] = _LayerWithRoom(layer.keys, layer.values, self._prompt + self._room)

    @staticmethod
    def most_positions(prompt: int, branches: int, steps: int) -> int:
        """Return the most positions that there is room for in a sample after so many steps."""
        return prompt + branches * STEPS_OF_ROOM * max(1, -(-steps // STEPS_OF_ROOM))

    def select(self, rows: Tensor) -> None:
        """See `BranchCache`."""
        self._visible = self._visible.flatten(0, 1)[rows].unflatten(0, (-1, self._branches))
        samples = rows[:: self._branches] // self._branches
        if len(samples) < len(self._next_position):
            self._next_position = self._next_position[samples]
            kept = samples.tolist()
            for layer in self._cache.layers:
                layer.keep_samples(kept)

    def read(self, embedded: Tensor) -> Tensor:
        """See `BranchCache`."""
        self._make_room()
        own = torch.eye(self._branches, dtype=torch.bool, device=self._visible.device)
        self._visible = torch.cat((self._visible, own.expand(len(self._visible), -1, -1)), dim=2)
        mask = torch.zeros(self._visible.shape, dtype=embedded.dtype, device=self._visible.device)
        mask = mask.masked_fill(~self._visible, torch.finfo(embedded.dtype).min).unsqueeze(1)
        embedded, positions = embedded.unflatten(0, (-1, self._branches)), self._next_position
        self._next_position = positions + 1
        positions = positions.expand(-1, self._branches)
        return self._language.hidden(embedded, mask, positions, cache=self._cache, use_cache=True).states.flatten(0, 1)

    def _make_room(self) -> None:
        """Drop what no branch descends from where the next step finds no room; take more room where that is little."""
        if self._visible.shape[2] + self._branches <= self._prompt + self._room:
            return
        prompt, written = self._visible.split([self._prompt, self._visible.shape[2] - self._prompt], dim=2)
        is_used = written.any(dim=1)
        most = int(is_used.sum(dim=1).max())
        # The used positions of each sample in their order, then unused ones up to the same number.
        columns = is_used.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        written = written.gather(2, columns.unsqueeze(1).expand(-1, self._branches, -1))
        self._visible = torch.cat((prompt, written), dim=2)
        if most > self._room // 2:
            self._room += STEPS_OF_ROOM * self._branches
        for layer in self._cache.layers:
            layer.keep_positions(self._prompt, columns, self._prompt + self._room)


class _LayerWithRoom(DynamicLayer):
    """A layer's keys and values [B, H, positions, D_head], with room behind them: a step moves none of them.

    Args:
        keys: of the prompts.
        values: of the prompts.
        room: positions that there is room for, the prompts' included.
    """

    def __init__(self, keys: Tensor, values: Tensor, room: int) -> None:
        super().__init__()
        # What transformers' lazy_initialization sets, whose arguments differ between its versions.
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.keys, self.values = keys, values
        self._stored: tuple[Tensor, ...] = ()
        self._widen(room)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values of one or more positions, and return all."""
        start = self.keys.shape[2]
        self._show(start + key_states.shape[2])
        self.keys[:, :, start:] = key_states
        self.values[:, :, start:] = value_states
        return self.keys, self.values

    def keep_samples(self, samples: list[int]) -> None:
        """Drop all samples but these, in ascending order: those behind a dropped one move up."""
        for stored in (self.keys, self.values):
            for place, sample in enumerate(samples):
                if place != sample:
                    stored[place] = stored[sample]
        self._stored = tuple(stored[: len(samples)] for stored in self._stored)
        self._show(self.keys.shape[2])

    def keep_positions(self, prompt: int, columns: Tensor, room: int) -> None:
        """Drop all positions behind the prompt but these, counted from there [B, kept]; have this much room."""
        index = columns.to(self.keys.device)[:, None, :, None].expand(-1, self.keys.shape[1], -1, self.keys.shape[3])
        for stored in (self.keys, self.values):
            stored[:, :, prompt : prompt + columns.shape[1]] = stored[:, :, prompt:].gather(2, index)
        self._show(prompt + columns.shape[1])
        if room > self._stored[0].shape[2]:
            self._widen(room)

    def _widen(self, room: int) -> None:
        given = (self.keys, self.values)
        self._stored = tuple(part.new_empty((*part.shape[:2], room, part.shape[3])) for part in given)
        self._show(given[0].shape[2])
        self.keys.copy_(given[0])
        self.values.copy_(given[1])

    def _show(self, length: int) -> None:
        self.keys, self.values = (stored[:, :, :length] for stored in self._stored)
