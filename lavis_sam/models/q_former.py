"""Steps 3 and 4: InstructBLIP's Q-Former (Dai et al. 2023), a BERT whose queries also look at visual features.

The parameter names are InstructBLIP's (`Qformer.bert.…`). Both of SAM's streams run through these same frozen layers,
so the model offers its layers by number instead of one forward for all: `embed`, then `run_layers(first, last)`.
Dropout does not exist here: the Q-Former is frozen, and noise from a frozen part would only blur the guidance.
"""

import torch
import torch.nn.functional as F
from torch import nn

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.layer_norm import Float32LayerNorm

LAYER_NORM_EPS = 1e-12  # BERT's


class Embeddings(nn.Module):
    """Word and position embeddings of the instruction; the queries come before it and get no position."""

    def __init__(self, *, vocabulary: int, width: int, max_positions: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(max_positions, width)
        self.LayerNorm = Float32LayerNorm(width, eps=LAYER_NORM_EPS)

    def forward(self, query_tokens: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        """Embed queries [1, Q, D_q], or each sample's [B, Q, D_q], and instructions [B, L] as [B, S, D_q]."""
        length, limit = input_ids.shape[1], self.position_embeddings.num_embeddings
        if length > limit:
            raise SamDataError(
                f"an instruction of {length} tokens reached the Q-Former, which has {limit} positions; "
                f"set max_txt_len <= {limit}"
            )
        text = self.word_embeddings(input_ids) + self.position_embeddings.weight[:length]
        return self.LayerNorm(torch.cat((query_tokens.expand(len(input_ids), -1, -1), text), dim=1))


class SelfAttention(nn.Module):
    """The three projections of BERT's attention; keys and values may come from features of another width."""

    def __init__(self, *, width: int, heads: int, source_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(source_width, width)
        self.value = nn.Linear(source_width, width)

    def split_heads(self, projected: torch.Tensor) -> torch.Tensor:
        """Split heads: [·, length, D_q] -> [·, heads, length, D_q / heads]."""
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(
        self,
        hidden: torch.Tensor,
        source: torch.Tensor,
        key_mask: torch.Tensor | None = None,
        source_index: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from `hidden` to `source`; see `Attention.forward`."""
        key, value = self.split_heads(self.key(source)), self.split_heads(self.value(source))
        if source_index is not None:
            key, value = key[source_index], value[source_index]
        attended = F.scaled_dot_product_attention(self.split_heads(self.query(hidden)), key, value, attn_mask=key_mask)
        return attended.transpose(1, 2).flatten(2)


class ResidualOutput(nn.Module):
    """BERT's way out of a sub-layer: linear, add the residual, normalise."""

    def __init__(self, *, width_in: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, width)
        self.LayerNorm = Float32LayerNorm(width, eps=LAYER_NORM_EPS)

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Add what `hidden` becomes to `residual`: both [·, length, D_q], as is the result."""
        return self.LayerNorm(self.dense(hidden) + residual)


class Attention(nn.Module):
    """Attention with its output projection (`self` and `output` are BERT's names)."""

    def __init__(self, *, width: int, heads: int, source_width: int) -> None:
        super().__init__()
        self.self = SelfAttention(width=width, heads=heads, source_width=source_width)
        self.output = ResidualOutput(width_in=width, width=width)

    def forward(
        self,
        hidden: torch.Tensor,
        source: torch.Tensor,
        key_mask: torch.Tensor | None = None,
        source_index: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from `hidden` to `source` and add the residual.

        Args:
            hidden: [rows, length, D_q].
            source: where keys and values come from: [rows, keys, width], or fewer rows with `source_index`.
            key_mask: bool [rows, 1, 1, keys], true where a key may be seen; None when all may.
            source_index: long [rows], the row of `source` that each row of `hidden` attends to. Keys and values are
                projected once per row of `source`, however many rows share it.
        """
        return self.output(self.self(hidden, source, key_mask, source_index), hidden)


class Intermediate(nn.Module):
    """First half of the feed-forward part."""

    def __init__(self, *, width: int, intermediate: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, intermediate)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Widen [·, length, D_q] to [·, length, intermediate]."""
        return F.gelu(self.dense(hidden))


class Layer(nn.Module):
    """One Q-Former layer: self-attention over queries and text, cross-attention of the queries, two feed-forwards."""

    def __init__(
        self, *, width: int, heads: int, intermediate: int, vision_width: int, has_cross_attention: bool
    ) -> None:
        super().__init__()
        self.has_cross_attention = has_cross_attention
        self.attention = Attention(width=width, heads=heads, source_width=width)
        if has_cross_attention:
            self.crossattention = Attention(width=width, heads=heads, source_width=vision_width)
        self.intermediate = Intermediate(width=width, intermediate=intermediate)
        self.output = ResidualOutput(width_in=intermediate, width=width)
        self.intermediate_query = Intermediate(width=width, intermediate=intermediate)
        self.output_query = ResidualOutput(width_in=intermediate, width=width)

    def forward(
        self,
        hidden: torch.Tensor,
        key_mask: torch.Tensor | None,
        features: torch.Tensor,
        features_index: torch.Tensor | None,
        num_queries: int,
        queries_only: bool,
    ) -> torch.Tensor:
        """Run the layer on [·, S, D_q]; see `QFormerBert.run_layers`."""
        targets = hidden[:, :num_queries] if queries_only else hidden
        attended = self.attention(targets, hidden, key_mask)
        queries = attended[:, :num_queries]
        if self.has_cross_attention:
            queries = self.crossattention(queries, features, source_index=features_index)
        queries = self.output_query(self.intermediate_query(queries), queries)
        if queries_only:
            return queries
        text = attended[:, num_queries:]
        return torch.cat((queries, self.output(self.intermediate(text), text)), dim=1)


class Encoder(nn.Module):
    """The list of layers, under BERT's name."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


class QFormerBert(nn.Module):
    """Embeddings and layers of the Q-Former.

    Args:
        width: D_q.
        layers: K.
        heads: attention heads.
        intermediate: width of the feed-forward part.
        vocabulary: size of the Q-Former's vocabulary ([DEC] included).
        max_positions: longest instruction in tokens.
        vision_width: D_v.
        cross_attention_frequency: layers 1, 1 + f, 1 + 2 f, … (1-based) attend to visual features.
        num_queries: Q.
    """

    def __init__(
        self,
        *,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        intermediate: int = 3072,
        vocabulary: int = 30523,
        max_positions: int = 512,
        vision_width: int = 1408,
        cross_attention_frequency: int = 2,
        num_queries: int = 32,
    ) -> None:
        super().__init__()
        if width % heads:
            raise SamConfigurationError(f"Q-Former: width {width} is no multiple of heads {heads}")
        self.num_queries = num_queries
        self.embeddings = Embeddings(vocabulary=vocabulary, width=width, max_positions=max_positions)
        self.encoder = Encoder(
            [
                Layer(
                    width=width,
                    heads=heads,
                    intermediate=intermediate,
                    vision_width=vision_width,
                    has_cross_attention=index % cross_attention_frequency == 0,
                )
                for index in range(layers)
            ]
        )

    @property
    def num_layers(self) -> int:
        """K."""
        return len(self.encoder.layer)

    def embed(self, query_tokens: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        """Embed queries [1, Q, D_q] or [B, Q, D_q] and instructions [B, L]: all streams start from it, [B, S, D_q]."""
        return self.embeddings(query_tokens, input_ids)

    def run_layers(
        self,
        first: int,
        last: int,
        hidden: torch.Tensor,
        key_mask: torch.Tensor | None,
        features: torch.Tensor,
        *,
        features_index: torch.Tensor | None = None,
        queries_only: bool = False,
    ) -> torch.Tensor:
        """Run layers `first` to `last`, 1-based and both included; none when `last` < `first`.

        Args:
            first: number of the first layer.
            last: number of the last layer.
            hidden: [·, S, D_q], the input of layer `first`.
            key_mask: bool [·, S], false at padded instruction tokens; None when nothing is padded.
            features: what cross-attention sees, [·, P, D_v].
            features_index: long [·], the row of `features` for each row of `hidden`; None when they match one to one.
            queries_only: compute only the query positions of layer `last`, [·, Q, D_q]; what the text would have
                become there is never used.

        Returns:
            The output of layer `last`, [·, S, D_q] (or [·, Q, D_q]).
        """
        mask = None if key_mask is None else key_mask[:, None, None, :]
        for number in range(first, last + 1):
            layer = self.encoder.layer[number - 1]
            only = queries_only and number == last
            hidden = layer(hidden, mask, features, features_index, self.num_queries, only)
        return hidden


class QFormer(nn.Module):
    """The outer shell that gives InstructBLIP's key prefix `Qformer.bert.`."""

    def __init__(self, bert: QFormerBert) -> None:
        super().__init__()
        self.bert = bert
