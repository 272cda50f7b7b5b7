"""The benchmark of the synthesis' models: it runs on tiny ones, and its real ones have the real dimensions."""

import sys

import pytest
import torch

from helpers.environments import REPOSITORY


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import synthesis_models

    yield synthesis_models
    del sys.modules["synthesis_models"]


@pytest.mark.integration
def test_benchmark_of_models_measures_every_stage(benchmark, tmp_path, capsys):
    report = benchmark.main(["--num", "2", "--batch-size", "1", "2", "--out", str(tmp_path / "report.json")])
    assert list(report["stages"]) == [f"{job}, batch size {size}" for job in benchmark.JOBS for size in (1, 2)]
    for figures in report["stages"].values():
        assert figures["answers_a_second"] > 0
        assert figures["peak_bytes"] > 0
    assert (tmp_path / "report.json").is_file()
    assert "forecast_error" in capsys.readouterr().out


@pytest.mark.integration
@pytest.mark.parametrize(
    ("job", "millions"),
    [
        ("segment", {"": 641}),
        ("inpaint", {"unet": 2567, "vae": 84, "text_encoder": 123, "text_encoder_2": 695}),
        ("describe", {"": 7913}),
        ("score", {"": 428}),
    ],
)
def test_benchmark_of_models_has_the_published_numbers_of_parameters(benchmark, job, millions):
    with torch.device("meta"):
        modules = benchmark.real_modules(job)
    counted = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
    assert {name: round(count / 1e6) for name, count in counted.items()} == millions


@pytest.mark.integration
def test_benchmark_of_models_writes_folders_that_load(benchmark, tmp_path, monkeypatch):
    """With the real image processor, on a model that is as small as one of its size of image can be."""
    from transformers import CLIPConfig, CLIPModel

    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tiny, "bos_token_id": 512, "eos_token_id": 513}
    config = CLIPConfig(text_config=text, vision_config={**tiny, "patch_size": 32}, projection_dim=8)
    monkeypatch.setattr(benchmark, "real_modules", lambda job: {"": CLIPModel(config)})
    folder = benchmark.write_real("score", tmp_path / "score", "cpu")
    call = benchmark.make("score", folder, 1, is_real=True, device="cpu", precision="fp32")
    (scores,) = call(benchmark.requests_of("score", 1))
    assert len(scores["semantic.background_similarity"]) == 2
