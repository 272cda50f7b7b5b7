"""What of a configuration a run that is continued may change; the table and the comparison."""

import dataclasses

import pytest
from omegaconf import OmegaConf

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import PACKAGE_ROOT
from lavis_sam.training.resume_checks import RunDescription, check_changes, compare_runs
from lavis_sam.weights.embedded import fill_guidance


def config(*options):
    """The tiny model on the photographs, resolved enough."""
    run = OmegaConf.create({"run": dataclasses.asdict(RunSettings())})
    own = OmegaConf.create({"model": {"load_finetuned": False}})
    layers = [PACKAGE_ROOT / "configs" / "models" / "blip2_vicuna_sam_tiny.yaml"]
    layers.append(PACKAGE_ROOT / "configs" / "datasets" / "mmlink" / "defaults_photographs.yaml")
    merged = OmegaConf.merge(run, *map(OmegaConf.load, layers), own, OmegaConf.from_dotlist(list(options)))
    fill_guidance(merged.model)
    return OmegaConf.to_container(merged, resolve=True)


def described(*options, **further):
    known = {"data": ["a"], "base": {"queries": "1 2"}, "samples_per_step": 6, "processes": 1}
    return RunDescription(config(*options), **known | further)


def compared(*options, **further):
    return compare_runs(described(), described(*options, **further))


@pytest.mark.parametrize(
    "option",
    [
        "model.guidance.context=others",
        "model.guidance.positions=queries",
        "model.guidance.layer_l=3",
        "model.trainable=projection",
        "model.precision=bf16",
        "model.max_output_txt_len=64",
        "model.objectives.other=0.5",
        "model.inject.lora.rank=4",
        "model.base_seed=1",
        "datasets.mmlink.vis_processor.train.image_size=336",
        "datasets.mmlink.sample_ratio=2",
        "run.seed=7",
        "run.max_grad_norm=1.0",
        "run.warmup_steps=9",
        "run.select_best_by=rouge",
        "run.train_splits=[train,val]",
    ],
)
def test_resume_checks_refuse_what_changes_the_meaning(option):
    found = compared(option)
    key = option.partition("=")[0]
    assert len(found.refused) == 1, found
    assert found.refused[0].startswith(key.split(".lora")[0] if "lora" in key else key)
    assert "now" in found.refused[0]
    assert not compared().refused
    assert compare_runs(described(option), described()).refused  # the other way round as well


@pytest.mark.parametrize(
    "option",
    [
        "model.llm_model=elsewhere/vicuna-7b",
        "model.gradient_checkpointing=true",
        "model.packing=true",
        "datasets.mmlink.vis_processor.eval.image_size=336",
        "datasets.mmlink.build_info.images.storage=elsewhere",
        "datasets.mmlink.build_info.annotations.val.storage=val.json",
        "run.output_dir=elsewhere",
        "run.num_workers=3",
        "run.max_epoch=9",
        "run.decoding.num_beams=2",
        "run.batch_size_train=6",
        "run.checkpoint_steps=100",
    ],
)
def test_resume_checks_list_what_merely_changes(option):
    found = compared(option)
    assert (len(found.listed), found.refused) == (1, [])


@pytest.mark.parametrize("option", ["run.resume=auto", "run.resume_with_changes=true", "run.resume_ckpt_path=a.pth"])
def test_resume_checks_ignore_how_the_run_is_started(option):
    found = compared(option)
    assert (found.listed, found.refused) == ([], [])


def test_resume_checks_compare_data_and_frozen_weights():
    assert "training data: other ids" in compared(data=["z"]).refused[0]
    assert "training data: then 1 set(s), now 2" in compared(data=["a", "b"]).refused[0]
    assert "frozen weights: others than the checkpoint's in queries" in compared(base={"queries": "1 3"}).refused[0]
    assert compared(base={"queries": "1.001 2"}).refused == []  # the same in another precision
    assert compared(base={}).not_compared == ["frozen weights"]
    assert compared(processes=2).listed == ["processes: then 1, now 2"]
    assert compared(data=[None]).not_compared == ["training data that have no annotations"]


@pytest.mark.parametrize(
    ("then", "now", "refused"),
    [
        (["run.feature_crops=1"], ["run.feature_crops=1"], True),
        (["run.feature_crops=1"], ["run.feature_crops=1", "run.feature_cache=x"], True),
        (["run.feature_crops=1"], ["run.feature_crops=2"], True),
        (["run.feature_crops=1"], [], False),
        (["run.feature_crops=1", "run.feature_cache=x"], ["run.feature_crops=1"], False),
        (["run.feature_crops=2"], ["run.feature_crops=2"], False),
        ([], [], False),
    ],
)
def test_resume_checks_of_an_older_file_know_that_one_crop_without_a_cache_was_a_new_one_each_time(then, now, refused):
    found = compare_runs(described(*then, fixed_crops=False), described(*now))
    assert len(found.refused) == refused
    if refused:
        assert found.refused[0].startswith("run.feature_crops: then null, now ")
        assert "without run.feature_cache its 1 drew a new crop each time" in found.refused[0]
    if "run.feature_crops=1" in now:  # which a file of this version says it had
        assert compare_runs(described(*now), described("run.feature_crops=1")).refused == []


def test_resume_checks_accept_accumulation_that_larger_batches_make_up_for():
    changed = ["run.accum_grad_iters=2", "run.batch_size_train=3"]
    assert compared(*changed).refused == []
    assert "run.accum_grad_iters: then 1, now 2" in compared(*changed, samples_per_step=12).refused[0]


def test_resume_checks_of_an_older_file_name_what_it_does_not_say():
    then = config()
    del then["model"]["inject"], then["model"]["objectives"]
    found = compare_runs(RunDescription(then), described())
    assert (found.refused, found.listed) == ([], [])
    assert found.not_compared == ["model.inject", "model.objectives", "training data", "frozen weights"]
    assert compare_runs(RunDescription({}), described()).not_compared[:3] == ["run", "model", "datasets"]


@pytest.mark.parametrize("odd", [{"run": 3}, {"run": {5: {}}}, {"model": None}, {"datasets": [1]}, {7: float("nan")}])
def test_resume_checks_of_odd_configurations_end_in_an_answer(odd):
    found = compare_runs(RunDescription(odd), described())
    assert found.refused or found.listed or found.not_compared


def test_resume_checks_name_every_reason_and_the_remedy(caplog):
    now = described("run.init_lr=1", "model.guidance.context=others")
    with pytest.raises(SamConfigurationError) as caught:
        check_changes(described(), now, "x.pth", allowed=False)
    message = str(caught.value)
    assert message.startswith("x.pth: ")
    assert 'model.guidance.context: then "all", now "others" (another model or another loss)' in message
    assert "run.init_lr: then 2e-05, now 1 (how a step changes the weights)" in message
    assert "run.resume_with_changes=true" in message
    check_changes(described(), now, "x.pth", allowed=True)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
