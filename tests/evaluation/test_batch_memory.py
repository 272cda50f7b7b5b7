"""What a batch needs, told beforehand: against what is alive at once, and how batches are filled by it."""

import pytest
import torch
from omegaconf import OmegaConf

from helpers.evaluation_runs import Ragged
from helpers.models import TEXTS, random_batch, small_model
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.batch_memory import SamMemory
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.evaluate import answer_samples
from lavis_sam.evaluation.sam_model import SamModel
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import TransformersLanguageModel
from lavis_sam.planning.forecast import LiveBytes, Load, make_plan
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.packaged import MODEL_CONFIGS

TINY = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, resolve=True)


@pytest.mark.parametrize(("beams", "length"), [(1, 4), (5, 24)])
@pytest.mark.parametrize("counts", [[2, 2], [3, 3, 3, 3]])
def test_the_forecast_is_near_what_lives_at_once(beams, length, counts):
    model = build_model(TINY).eval()
    decoding = Decoding(num_beams=beams, max_length=length, min_length=length)
    batch = random_batch(counts, size=model.visual_encoder.image_size, texts=[TEXTS[3]] * len(counts))
    memory = SamMemory(model, decoding)
    sample = MultiImageSample("a", ("p",) * counts[0], TEXTS[3], "y", ("y",), "here")
    forecast = memory.batch_bytes(len(counts), *memory.size(sample))
    with LiveBytes("cpu") as live:
        SamModel(model, decoding).records(batch)
    assert 0.7 < forecast / live.peak < 1.6


def test_keys_and_values_are_those_of_plan():
    """At the real sizes they are all that counts, so the forecast is little more than what plan says of them."""
    cfg = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["vicuna7b"]).model, resolve=True)
    model = build_model({**cfg, "pretrained": "", "vit_checkpoint": "", "llm_model": ""}, device="meta")
    plan = make_plan(TINY, Load(images=2, text_tokens=20, eval_batch=3))
    tiny = SamMemory(build_model(TINY, device="meta"), Decoding()).batch_bytes(3, 2, 20)
    assert plan.memory["kv_cache"] < tiny
    real = SamMemory(model, Decoding()).batch_bytes(1, 2, 20)
    positions = 2 * 32 + 20 + 5 * 256
    assert positions * 2 * 32 * 4096 * 2 < real < 1.01 * positions * 2 * 32 * 4096 * 2


def test_an_attention_that_shares_no_prompts_is_counted_by_rows(monkeypatch):
    decoding = Decoding(num_beams=9, max_length=33)
    memory = SamMemory(build_model(TINY, device="meta"), decoding)
    shared = memory.batch_bytes(1, 1, 40)
    monkeypatch.setattr(TransformersLanguageModel, "reads_4d_masks", False)
    # Eight more prompts of 8 visual tokens and 40 of text, in 4 layers, 192 wide, float32.
    assert memory.batch_bytes(1, 1, 40) - shared == 8 * (8 + 40) * 2 * 4 * 192 * 4


def test_answers_do_not_depend_on_how_batches_are_filled(tmp_path):
    model = SamModel(small_model(), Decoding(num_beams=2, max_length=8))
    one = model.memory.batch_bytes(1, 4, 40)
    answers, shapes = [], []
    for max_bytes in (None, 1, 3 * one, 1000 * one):
        loader = EvaluationLoader(Ragged((2, 4, 1, 3, 1, 2)), 2, max_bytes=max_bytes)
        records, _ = answer_samples(loader, model, tmp_path / str(max_bytes), name="mine")
        answers.append([(record["sample_id"], record["pred_response"]) for record in records])
        shapes.append([len(batch) for batch in loader.shares()[0]])
    assert answers[1:] == answers[:-1]
    assert len({text for _, text in answers[0]}) > 1
    assert shapes[0] == [2, 2, 2]
    assert shapes[1] == [1] * 6
    assert shapes[3] == [6]
    assert 1 < len(shapes[2]) < 6


def test_another_model_says_nothing():
    assert SamModel(torch.nn.Linear(1, 1)).memory is None
