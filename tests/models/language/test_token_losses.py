"""The loss in blocks against the loss at once: losses, gradients, and what is in memory."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from helpers.toy_llm import toy_llm
from lavis_sam.models.language import token_losses as module
from lavis_sam.models.language.language_model import TransformersLanguageModel
from lavis_sam.models.language.token_losses import token_losses
from lavis_sam.planning.forecast import LiveBytes

TARGETS = 23
REPOSITORY = Path(__file__).resolve().parents[3]


class Head:
    """A language model of which only the head is used; float64, so that blocks of another size round alike."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(97, 16, generator=generator, dtype=torch.float64, requires_grad=True)
        self.rows = []

    def logits(self, states):
        self.rows.append(len(states))
        return states @ self.weight.T


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(TARGETS, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    return states, torch.randint(0, 97, (TARGETS,), generator=generator)


def gradients(losses, weights, *of):
    return torch.autograd.grad((losses * weights).sum(), of, retain_graph=True)


@pytest.mark.parametrize("block", [1, 5, 22, 23])
def test_losses_and_gradients_are_those_of_one_product(data, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    head, (states, ids) = Head(), data
    wanted = F.cross_entropy(head.logits(states), ids, reduction="none")
    found = token_losses(head, states, ids)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    weights = torch.linspace(-1, 2, TARGETS, dtype=torch.float64)  # another factor for each token
    for each, other in zip(
        gradients(found, weights, states, head.weight), gradients(wanted, weights, states, head.weight), strict=True
    ):
        torch.testing.assert_close(each, other, rtol=1e-12, atol=1e-12)


def test_a_graph_is_gone_through_twice(data, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10)
    losses = token_losses(Head(), *data)
    first, second = (gradients(losses, torch.ones(TARGETS), data[0])[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.abs().min() > 0


def test_no_more_rows_than_a_block_at_once_and_few_are_computed_once(data, monkeypatch):
    head, (states, ids) = Head(), data
    token_losses(head, states, ids).sum().backward()
    assert head.rows == [TARGETS]
    monkeypatch.setattr(module, "BLOCK", 10)
    head = Head()
    token_losses(head, states, ids).sum().backward()
    assert sorted(head.rows) == [3, 3, 10, 10, 10, 10]


def test_memory_of_many_targets_is_that_of_a_block(monkeypatch):
    llm_model = toy_llm(vocabulary=5000)
    language = TransformersLanguageModel(llm_model)

    def peak(block):
        monkeypatch.setattr(module, "BLOCK", block)
        states = torch.randn(640, 40, requires_grad=True)
        with LiveBytes("cpu") as live:
            token_losses(language, states, torch.zeros(640, dtype=torch.long)).mean().backward()
        return live.peak

    row = 5000 * 4
    assert peak(640) > 2 * 640 * row  # logits or their logarithms, and a gradient
    assert peak(64) < 5 * 64 * row


def test_losses_without_gradients_are_in_blocks_too(data, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10)
    head = Head()
    with torch.no_grad():
        losses = token_losses(head, *data)
    assert head.rows == [10, 10, 3]
    assert not losses.requires_grad


def test_the_committed_bytes_are_those_of_the_page():
    report = json.loads((REPOSITORY / "benchmarks" / "results" / "token_losses_real.json").read_text())
    page = (REPOSITORY / "docs" / "speed.md").read_text(encoding="utf-8")
    assert report["settings"]["block"] == module.BLOCK
    for row in report["results"]:
        few = " | ".join(str(round(row["bytes"][way] / 1e6)) for way in ("all positions", "at once", "blocks"))
        assert row["target_tokens"] == 256 or f"| {row['target_tokens']} | {few} |" in page
    longest = report["results"][-1]
    assert longest["bytes"]["at once"] > 6 * longest["bytes"]["blocks"]
    assert longest["more_flops_of_a_step"] < 0.01
