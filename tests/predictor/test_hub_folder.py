"""A folder for the hub: an adapter that loads, a card that the hub understands, and the scores of this model alone."""

import shutil

import pytest
import torch
from huggingface_hub import ModelCard

from helpers.environments import REPOSITORY
from helpers.models import small_model
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.run_folder import read_run
from lavis_sam.predictor.hub_folder import export_hub_folder
from lavis_sam.predictor.load_model import load_model

RUN = REPOSITORY / "tests" / "compatibility" / "fixtures" / "run_finished"


@pytest.fixture(scope="module")
def model():
    return load_model("tiny", checkpoint=RUN, device="cpu")


@pytest.fixture(scope="module")
def card(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("hub") / "change-captioner"
    written = export_hub_folder(model, out, source="tiny", checkpoint=RUN)
    assert written["scores"] == 3
    assert written["bytes"] == sum(path.stat().st_size for path in out.iterdir())
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "sam_adapter.safetensors"]
    assert torch.equal(load_model(out, device="cpu").llm_proj.weight, model.llm_proj.weight)
    return ModelCard.load(out / "README.md")


def test_the_card_says_licence_tags_and_task(card):
    assert card.data.license == "bsd-3-clause"
    assert card.data.library_name == "lavis_sam"
    assert card.data.pipeline_tag == "image-text-to-text"
    assert {"multi-image", "semantic-alignment"} <= set(card.data.tags)
    assert card.data.to_dict().get("base_model") is None, "the base of tiny is nobody's"


def test_the_model_index_is_what_the_run_says(card):
    (results,) = read_run(RUN).results
    found = {one.metric_type: one for one in card.data.eval_results}
    assert card.data.model_name == "change-captioner"
    assert {name: one.metric_value for name, one in found.items()} == {
        "rouge": round(results.corpus["rouge"], 2),
        "cider": round(results.corpus["cider"], 2),
        "bleu": round(results.corpus["bleu4"], 2),
    }
    one = found["bleu"]
    assert (one.dataset_type, one.dataset_split, one.metric_name) == ("mmlink", "test", "BLEU-4")
    assert one.metric_args == {"protocol": "sam", "tokenizer": "python"}
    assert "| mmlink | test | 6 | sam | ROUGE-L |" in card.text


def test_a_card_without_results_names_no_scores(tmp_path):
    out = tmp_path / "adapter"
    assert export_hub_folder(small_model(), out, source="tiny")["scores"] == 0
    card = ModelCard.load(out / "README.md")
    assert card.data.eval_results is None
    assert "None is given with this adapter." in card.text


@pytest.mark.parametrize(
    ("source", "license_id", "wanted"),
    [
        ("vicuna7b", None, ("other", "Salesforce/instructblip-vicuna-7b")),
        ("vicuna13b", "llama2", ("llama2", "Salesforce/instructblip-vicuna-13b")),
        ("custom", None, ("other", None)),
    ],
)
def test_the_base_and_its_licence_are_named(tmp_path, source, license_id, wanted):
    export_hub_folder(small_model(), tmp_path / "out", source=source, license_id=license_id)
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert (card.data.license, card.data.base_model) == wanted
    assert (card.data.license_name == "licences-of-the-base") is (license_id is None)


def test_results_of_other_weights_are_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(SamDataError, match="these results were made with the weights"):
        export_hub_folder(small_model(), tmp_path / "out", source="tiny", results=RUN)
    assert not list(tmp_path.iterdir())


def test_results_that_were_changed_are_refused(model, tmp_path):
    run = shutil.copytree(RUN, tmp_path / "run")
    (run / "result" / "test" / "mmlink" / "eval.json").write_text('{"rouge": 99.0, "cider": 99.0, "bleu4": 99.0}')
    with pytest.raises(SamDataError, match=r"changed since manifest\.json was written"):
        export_hub_folder(model, tmp_path / "out", source="tiny", checkpoint=run)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prepare", [lambda p: p.mkdir(), lambda p: p.write_text("x"), lambda p: p.symlink_to("gone")])
def test_a_place_where_something_is_is_refused(tmp_path, prepare):
    prepare(tmp_path / "out")
    with pytest.raises(SamConfigurationError, match="wanted a folder that is new"):
        export_hub_folder(small_model(), tmp_path / "out", source="tiny")
