"""Trained layers come back from a checkpoint of ours and from the authors' file, or one clear error."""

import pytest
import torch

from helpers.models import random_batch, small_model
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.checkpoint_files import load_file
from lavis_sam.weights.checkpoints import save_checkpoint, to_released, trainable_state_dict, trained_checkpoint
from lavis_sam.weights.trained import load_trained

TRAINED = {
    *(f"adaptive_adjustment.linear_a.{kind}" for kind in ("weight", "bias")),
    *(f"w_former.linear_{layer}.{kind}" for layer in ("h", "c") for kind in ("weight", "bias")),
    "llm_proj.weight",
    "llm_proj.bias",
}


def test_a_checkpoint_of_ours_round_trips_with_config_and_versions(tmp_path):
    first, second = small_model(seed=1), small_model(seed=2)
    config = {"model": {"guidance": {"layer_l": 3}}}
    save_checkpoint(tmp_path / "run" / "last.pth", trained_checkpoint(first, config, epoch=4, optimizer={"lr": 0.1}))
    file = load_file(tmp_path / "run" / "last.pth")
    assert file["config"] == config
    assert file["epoch"] == 4
    assert set(file["versions"]) == {"lavis_sam", "python", "torch", "transformers", "salesforce-lavis"}
    assert file["versions"]["torch"] == torch.__version__.partition("+")[0]
    report = load_trained(second, tmp_path / "run" / "last.pth")
    assert report.loaded == TRAINED
    batch = random_batch([2, 1])
    for table in ("llm_model.model.embed_tokens.weight", "llm_model.lm_head.weight"):
        # Of the frozen language model, the [PAD] row alone, which no released file holds.
        assert torch.equal(second.get_parameter(table)[-1], first.get_parameter(table)[-1])
        assert not torch.equal(second.get_parameter(table)[-2], first.get_parameter(table)[-2])
    frozen = {name for name, p in first.named_parameters() if not p.requires_grad}
    with torch.no_grad():
        for name, parameter in second.named_parameters():
            if name in frozen:
                parameter.copy_(first.get_parameter(name))
        assert torch.equal(first(batch)["loss"], second(batch)["loss"])


def test_a_pad_row_of_another_language_model_is_refused(tmp_path):
    checkpoint = trained_checkpoint(small_model(), {})
    checkpoint["pad_rows"]["llm_model.lm_head.weight"] = torch.ones(7)
    save_checkpoint(tmp_path / "a.pth", checkpoint)
    with pytest.raises(
        SamCheckpointError, match=r"\[PAD\] row of llm_model\.lm_head\.weight is \[7\] in the file and \[20\]"
    ):
        load_trained(small_model(), tmp_path / "a.pth")


@pytest.mark.parametrize("with_projection", [True, False])
def test_the_authors_checkpoint_loads_with_and_without_a_projection(tmp_path, with_projection):
    trained, model = small_model(seed=1), small_model(seed=2)
    projection = model.llm_proj.weight.clone()
    state = to_released(trainable_state_dict(trained))
    if not with_projection:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("llm_proj")}
    torch.save({"model": state, "epoch": 1}, tmp_path / "released.pth")
    load_trained(model, tmp_path / "released.pth")
    for name in (name for name in TRAINED if not name.startswith("llm_proj")):
        assert torch.equal(model.get_parameter(name), trained.get_parameter(name))
    expected = trained.llm_proj.weight if with_projection else projection
    assert torch.equal(model.llm_proj.weight, expected)


@pytest.mark.parametrize(
    ("guidance", "words"),
    [
        ({"context": "others"}, "context = 'others', not 'all'"),
        ({"positions": "queries", "layer_k": None}, "positions = 'queries', not 'all'; it answers"),
        ({"context": "all", "layer_l": None}, None),
        ("damaged", None),
    ],
)
def test_a_checkpoint_of_another_guidance_with_equal_shapes_is_named(tmp_path, caplog, guidance, words):
    save_checkpoint(tmp_path / "a.pth", trained_checkpoint(small_model(), {"model": {"guidance": guidance}}))
    load_trained(small_model(), tmp_path / "a.pth")
    assert (words in caplog.text) if words else not caplog.records


def test_a_checkpoint_of_another_guidance_is_refused(tmp_path):
    for saved, loaded, words in [
        ({}, {"extractor": "linear"}, "1 missing: linear_extractor"),
        ({}, {"extractor": "none"}, "6 unexpected: adaptive_adjustment"),
        ({"context": "self"}, {}, "2 missing: adaptive_adjustment"),
    ]:
        save_checkpoint(tmp_path / "a.pth", trained_checkpoint(small_model(**saved), {}))
        with pytest.raises(SamCheckpointError) as error:
            load_trained(small_model(**loaded), tmp_path / "a.pth")
        assert words.partition(":")[0].split()[1] in str(error.value)
        assert words.partition(": ")[2] in str(error.value)
