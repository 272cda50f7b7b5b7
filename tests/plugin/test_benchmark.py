"""The paper's data sets: found, evaluated one by one, averaged; one that is missing or fails stops no other."""

import shutil
from pathlib import Path

import pytest

from helpers.benchmarks import EVALUATION_SETS, write_benchmarks
from lavis_sam.datasets.catalogue import CATALOGUE
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.evaluate import evaluate
from lavis_sam.evaluation.model import ImageTextModel
from lavis_sam.evaluation.run_folder import check_one_model, read_run
from lavis_sam.models.decoding import Decoding
from lavis_sam.plugin.benchmark import chosen_sets, find_sets, run_sets
from lavis_sam.reports.tables import averages

CONFIGS = Path(__file__).resolve().parents[2] / "projects" / "sam" / "eval"


class Perfect(ImageTextModel):
    """Knows the answers."""

    def describe(self):
        return {"model": "perfect", "weights": "none", "decoding": {}}

    def answer(self, samples):
        return [one.sample.output for one in samples]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_benchmarks(tmp_path_factory.mktemp("data"))


@pytest.fixture
def here(data, monkeypatch):
    monkeypatch.setenv("LAVIS_SAM_DATA", str(data))
    return data


def run(sets, out):
    def one(entry):
        return evaluate(entry.dataset(), Perfect(), out / entry.entry.title, name=entry.entry.name, batch_size=2)

    return run_sets(sets, one)


def test_all_ten_sets_are_evaluated_and_averaged(here, tmp_path):
    outcomes = run(find_sets(configs=CONFIGS), tmp_path)
    assert [(outcome.entry.name, outcome.status) for outcome in outcomes] == [(n, "done") for n in EVALUATION_SETS]
    assert {results.title for results in read_run(tmp_path).results} == {outcome.entry.title for outcome in outcomes}
    found = averages(tmp_path)
    assert list(found) == ["group captioning", "storytelling", "change captioning"]
    for mean in found.values():
        assert mean["rouge"] == pytest.approx(100, abs=1e-5)


def test_an_average_needs_every_set_of_its_task(here, tmp_path):
    run(find_sets(["aesop", "vist", "4"], configs=CONFIGS), tmp_path)
    assert list(averages(tmp_path)) == ["change captioning"]


def test_missing_and_failing_sets_stop_no_other(here, tmp_path, monkeypatch):
    copy = shutil.copytree(here, tmp_path / "copy")
    shutil.rmtree(copy / "vist" / "images")
    (copy / "aesop" / "data" / "test.json").write_text("[]")
    monkeypatch.setenv("LAVIS_SAM_DATA", str(copy))
    outcomes = {outcome.entry.name: outcome for outcome in run(find_sets(["storytelling"], configs=CONFIGS), tmp_path)}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "aesop": "failed",
        "vist": "missing",
        "dm800k": "done",
    }
    assert "found 0" in outcomes["aesop"].message
    assert str(copy / "vist" / "images") in outcomes["vist"].message
    assert "visionandlanguage.net" in outcomes["vist"].message
    assert outcomes["dm800k"].as_dict()["count"] == 1


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        (["VIST"], ["vist"]),
        (["Spot-the-Diff", "nico_vehicle"], ["nico_vehicle", "spot_the_diff"]),
        (["storytelling"], ["aesop", "vist", "dm800k"]),
        (["group_captioning"], ["conceptual", "nico_animal", "nico_vehicle"]),
        (["2"], ["conceptual", "nico_animal", "nico_vehicle", "aesop", "vist", "dm800k"]),
        (["2b", "aesop"], ["aesop", "vist", "dm800k"]),
        (["4"], ["iedit", "spot_the_diff", "birds_to_words", "clevr_change"]),
        ([], list(EVALUATION_SETS)),
    ],
)
def test_names_choose_sets_tasks_and_tables(only, wanted):
    assert [entry.name for _, entry in chosen_sets(only)] == wanted


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(SamConfigurationError, match=r"--dataset: .*'vits'.*Did you mean 'vist'"):
        chosen_sets(["vits"])


def test_no_folder_of_configurations_is_a_clear_error(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"no such folder.*projects/sam/eval.*--configs"):
        find_sets(configs=tmp_path / "none")


def test_the_configurations_say_the_published_settings():
    published = {"conceptual", "nico_animal", "nico_vehicle", "aesop", "vist", "dm800k"}
    for one in find_sets(configs=CONFIGS):
        config = one.config.to_dict()
        assert Decoding(**config["run"]["decoding"]) == Decoding()
        assert (config["model"]["model_type"], config["run"]["evaluate"]) == ("vicuna7b", True)
        assert one.prompt_set == ("published" if one.entry.name in published else "default")
        assert config["datasets"][one.entry.name]["vis_processor"]["eval"]["name"] == "blip_image_eval"


def test_without_a_root_the_data_are_below_data(monkeypatch):
    monkeypatch.delenv("LAVIS_SAM_DATA", raising=False)
    (one,) = find_sets(["aesop"], configs=CONFIGS)
    assert one.config.datasets_cfg.aesop.build_info.annotations.test.storage == "data/aesop/data/test.json"


def test_options_of_one_set_leave_the_others_alone():
    options = ["datasets.vist.build_info.strict=true", "run.seed=3"]
    strict = {
        one.entry.name: one.config.datasets_cfg[one.entry.name].build_info.strict
        for one in find_sets(["2b"], configs=CONFIGS, options=options)
    }
    assert strict == {"aesop": False, "vist": True, "dm800k": False}


def test_every_set_has_a_source():
    assert all(CATALOGUE[name].source.place and CATALOGUE[name].source.licence for name in EVALUATION_SETS)


def test_a_run_is_one_model(here, tmp_path):
    run(find_sets(["aesop"], configs=CONFIGS), tmp_path)
    check_one_model(tmp_path, "none", {}, "sam")
    check_one_model(tmp_path / "new", "other", {}, "sam")
    for wrong, message in (
        (("other", {}, "sam"), "weights none, and this run has other"),
        (("none", {"num_beams": 1}, "sam"), "decoding {}, and this run has {'num_beams': 1}"),
        (("none", {}, "coco"), "protocol sam, and this run has coco"),
    ):
        with pytest.raises(SamDataError, match=f"AESOP was made with {message}"):
            check_one_model(tmp_path, *wrong)


@pytest.mark.parametrize("base", ["[1]", "gone.yaml", "aesop.yaml"])
def test_a_wrong_base_is_a_clear_error(tmp_path, base):
    for path in CONFIGS.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    text = (CONFIGS / "vist.yaml").read_text().replace("base: base.yaml", f"base: {base}")
    (tmp_path / "vist.yaml").write_text(text)
    with pytest.raises(SamConfigurationError, match=r"vist.yaml: base: |aesop.yaml: base: "):
        find_sets(["vist"], configs=tmp_path)
