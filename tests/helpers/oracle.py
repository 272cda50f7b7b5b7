"""The slow, obvious oracle: DESIGN section 3 written as loops over samples and images, one tensor row at a time.

It shares no code with the package. It reads parameters by their checkpoint names, knows no batch, no padding and no
mask, and is what the fast path is compared with, values and gradients.
"""

import torch

State = dict[str, torch.Tensor]


def layer_norm(x: torch.Tensor, state: State, name: str, eps: float) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention of [q, D] over [k, D], head by head."""
    size = query.shape[1] // heads
    outputs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[:, part] @ key[:, part].T / size**0.5
        outputs.append(scores.softmax(-1) @ value[:, part])
    return torch.cat(outputs, dim=1)


def vision(image: torch.Tensor, state: State, *, patch: int, depth: int, heads: int) -> torch.Tensor:
    """ln_vision(ViT(image)): [3, H, W] -> [P, D_v]."""
    prefix = "visual_encoder"
    kernel = state[f"{prefix}.patch_embed.proj.weight"]
    bias = state[f"{prefix}.patch_embed.proj.bias"]
    rows = [state[f"{prefix}.cls_token"][0, 0]]
    for top in range(0, image.shape[1], patch):
        for left in range(0, image.shape[2], patch):
            square = image[:, top : top + patch, left : left + patch]
            rows.append((kernel * square).sum(dim=(1, 2, 3)) + bias)
    x = torch.stack(rows) + state[f"{prefix}.pos_embed"][0]
    for i in range(depth):
        block = f"{prefix}.blocks.{i}"
        normed = layer_norm(x, state, f"{block}.norm1", 1e-6)
        query, key, value = (normed @ state[f"{block}.attn.qkv.weight"].T).chunk(3, dim=1)
        query = query + state[f"{block}.attn.q_bias"]
        value = value + state[f"{block}.attn.v_bias"]
        x = x + linear(attend(query, key, value, heads), state, f"{block}.attn.proj")
        normed = layer_norm(x, state, f"{block}.norm2", 1e-6)
        x = x + linear(gelu(linear(normed, state, f"{block}.mlp.fc1")), state, f"{block}.mlp.fc2")
    return layer_norm(x, state, "ln_vision", 1e-5)


class OracleQFormer:
    """The Q-Former's layers for one sequence [S, D_q]."""

    def __init__(self, state: State, *, heads: int, layers: int, frequency: int) -> None:
        self.state, self.heads, self.layers, self.frequency = state, heads, layers, frequency
        self.queries = state["query_tokens"].shape[1]

    def embed(self, ids: list[int]) -> torch.Tensor:
        name = "Qformer.bert.embeddings"
        words = [
            self.state[f"{name}.word_embeddings.weight"][token]
            + self.state[f"{name}.position_embeddings.weight"][place]
            for place, token in enumerate(ids)
        ]
        rows = torch.cat((self.state["query_tokens"][0], torch.stack(words)))
        return layer_norm(rows, self.state, f"{name}.LayerNorm", 1e-12)

    def sublayer(self, x: torch.Tensor, source: torch.Tensor, name: str) -> torch.Tensor:
        query, key, value = (
            linear(rows, self.state, f"{name}.self.{part}")
            for rows, part in ((x, "query"), (source, "key"), (source, "value"))
        )
        out = linear(attend(query, key, value, self.heads), self.state, f"{name}.output.dense")
        return layer_norm(out + x, self.state, f"{name}.output.LayerNorm", 1e-12)

    def feed_forward(self, x: torch.Tensor, name: str, suffix: str) -> torch.Tensor:
        out = gelu(linear(x, self.state, f"{name}.intermediate{suffix}.dense"))
        out = linear(out, self.state, f"{name}.output{suffix}.dense")
        return layer_norm(out + x, self.state, f"{name}.output{suffix}.LayerNorm", 1e-12)

    def layer(self, number: int, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Layer `number`, counted from 1."""
        name = f"Qformer.bert.encoder.layer.{number - 1}"
        x = self.sublayer(x, x, f"{name}.attention")
        query, text = x[: self.queries], x[self.queries :]
        if (number - 1) % self.frequency == 0:
            query = self.sublayer(query, features, f"{name}.crossattention")
        return torch.cat((self.feed_forward(query, name, "_query"), self.feed_forward(text, name, "")))


def merged_context(features: list[torch.Tensor], i: int, state: State, guidance) -> torch.Tensor | None:
    """Î for image i of a sample whose images have `features`; None where there is no context."""
    members = {
        "all": list(range(len(features))),
        "others": [m for m in range(len(features)) if m != i],
        "self": [i],
    }[guidance.context]
    if not members:
        return None
    if guidance.context == "self":
        return features[i]
    if guidance.weighting == "average":
        return sum(features[m] for m in members) / len(members)
    scores = {m: linear(features[m], state, "adaptive_adjustment.linear_a")[:, 0] for m in members}
    if guidance.normalise == "patches":
        return sum(scores[m].softmax(0)[:, None] * features[m] for m in members)
    rows = []
    for j in range(len(features[0])):
        weights = torch.stack([scores[m][j] for m in members]).softmax(0)
        rows.append(sum(weight * features[m][j] for weight, m in zip(weights, members, strict=True)))
    return torch.stack(rows)


def guided_tokens(features: list[torch.Tensor], ids: list[int], bert: OracleQFormer, guidance) -> torch.Tensor:
    """Visual tokens [N*Q, D_llm] of one sample."""
    state, layers, queries = bert.state, bert.layers, bert.queries
    covered = queries if guidance.positions == "queries" else queries + len(ids)
    blocks = []
    for i, image in enumerate(features):
        q = w = bert.embed(ids)
        semantics = None
        context = None if guidance.extractor == "none" else merged_context(features, i, state, guidance)
        for number in range(1, layers + 1):
            if context is not None and guidance.extractor == "w_former" and number <= guidance.layer_k:
                if number == guidance.layer_l:
                    addition = torch.zeros_like(w)
                    addition[:covered] = linear(q, state, "w_former.linear_h")[:covered]
                    w = w + addition
                w = bert.layer(number, w, context)
                if number == guidance.layer_k:
                    semantics = linear(w, state, "w_former.linear_c")[:covered]
            if context is not None and guidance.extractor == "linear" and number == guidance.layer_k:
                pooled = linear(context.mean(0, keepdim=True), state, "linear_extractor.linear_c")
                semantics = pooled.expand(covered, -1)
            if number == guidance.layer_k and semantics is not None:
                addition = torch.zeros_like(q)
                addition[:covered] = semantics
                q = q + addition
            q = bert.layer(number, q, image)
        blocks.append(linear(q[:queries], state, "llm_proj"))
    return torch.cat(blocks)
