"""One resolved configuration from packaged defaults, a YAML file and options."""

import re
import shlex
from argparse import Namespace
from pathlib import Path

import pytest
from lavis.common.config import Config
from lavis.common.registry import registry
from omegaconf import OmegaConf

from lavis_sam.config.resolve import parse_options
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.model import Blip2VicunaSAM
from lavis_sam.plugin.run_config import SamConfig
from lavis_sam.weights.packaged import PACKAGE

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = """
model: {arch: blip2_vicuna_sam, model_type: tiny}
datasets:
  mmlink: {type: photographs}
run: {test_splits: [test], init_lr: 1.0e-3}
"""


@pytest.fixture
def resolve(tmp_path):
    def build(text=FILE, *options, **forced):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return SamConfig(Namespace(cfg_path=str(path), options=list(options)), forced)

    return build


def test_defaults_file_and_options_in_this_order(resolve):
    config = resolve(FILE, "run.init_lr=2e-3", "model.max_txt_len=7")
    assert (config.run_cfg.init_lr, config.run_cfg.weight_decay) == (2e-3, 0.05)
    assert (config.model_cfg.max_txt_len, config.model_cfg.guidance.context) == (7, "others")
    assert config.datasets_cfg.mmlink.vis_processor.eval.name == "blip_image_eval"
    assert isinstance(config, Config)
    assert registry.get("configuration") is config


@pytest.mark.parametrize("options", [["model.model_type=tiny"], ["model.model_type", "tiny"]])
def test_an_option_really_selects_the_model_type(resolve, options):
    """Defect 32: LAVIS keeps the defaults of the type in the file, and reports the other."""
    config = resolve(FILE.replace("tiny", "vicuna7b"), *options)
    assert config.model_cfg.model_type == "tiny"
    assert config.model_cfg.sizes.vision.width == 128
    assert "vit_checkpoint" not in config.model_cfg


def test_an_option_really_selects_the_type_of_a_data_set(resolve):
    config = resolve(FILE.replace("photographs", "default"), "datasets.mmlink.type=photographs")
    assert config.datasets_cfg.mmlink.build_info.images.storage == "package:assets/photographs"


def test_forced_values_win(resolve):
    assert resolve(FILE, "run.evaluate=false", **{"run.evaluate": True}).run_cfg.evaluate is True


def test_splits_that_the_run_does_not_use_are_left_out(resolve):
    annotations = "build_info.annotations"
    assert list(OmegaConf.select(resolve().datasets_cfg.mmlink, annotations)) == ["train", "test"]
    evaluation = resolve(FILE, "run.evaluate=true")
    assert list(OmegaConf.select(evaluation.datasets_cfg.mmlink, annotations)) == ["test"]


def test_a_data_set_may_be_named_without_settings(resolve):
    text = FILE.replace("mmlink: {type: photographs}", "mmlink:").replace("test_splits: [test], ", "")
    assert resolve(text).datasets_cfg.mmlink.build_info.images.storage == "data/mmlink"


def test_an_option_may_name_a_new_split(resolve):
    config = resolve(FILE, "datasets.mmlink.build_info.annotations.val.storage=x.json", "run.valid_splits=[val]")
    assert config.datasets_cfg.mmlink.build_info.annotations.val.storage == "x.json"


def test_interpolations_are_resolved(resolve, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/data")
    config = resolve(FILE, "run.output_dir=${oc.env:SOMEWHERE}/runs")
    assert config.to_dict()["run"]["output_dir"] == "/data/runs"


def test_a_resolved_configuration_resolves_to_itself(resolve):
    """A run's config.yaml repeats the run."""
    first = resolve(FILE, "run.init_lr=2e-3").to_dict()
    assert resolve(OmegaConf.to_yaml(OmegaConf.create(first))).to_dict() == first


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, {}),
        ([], {}),
        (["run.a=1", "run.b=x=y"], {"run.a": "1", "run.b": "x=y"}),
        (["run.a", "1", "run.b", "x=y"], {"run.a": "1", "run.b": "x=y"}),
        (["run.a=[1,two]", "run.b=a #b"], {"run.a": "[1,two]", "run.b": "a #b"}),
        (["run.a=", "run.b='1'"], {"run.a": "", "run.b": "'1'"}),
    ],
)
def test_options(options, expected):
    assert parse_options(options) == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("model.prompt=Describe image #1 and #2", "Describe image #1 and #2"),
        ("model.prompt={image#1} what?", "{image#1} what?"),
        ("model.prompt=yes", "yes"),
        ("model.prompt=1e3", "1e3"),
        ("model.precision=fp32", "fp32"),
        ("model.finetuned=", None),
        ("model.guidance={context: self, layer_l: 02, layer_k: 02}", "self"),
        ("run.output_dir=runs/exp #3", "runs/exp #3"),
        ("run.job_id=1234567", "1234567"),
        ("run.job_id=2024_01_15", "2024_01_15"),
        ("run.job_id=null", None),
        ("run.seed=042", 42),
        ("run.decoding.max_length=0030", 30),
        ("run.decoding.use_nucleus_sampling=no", False),
        ("run.decoding={num_beams: 1, max_length: 030}", 30),
        ("run.lr_decay_rate=1", 1.0),
        ("datasets.mmlink.build_info.prompt=042", "042"),
        ("datasets.mmlink.build_info.strict=yes", True),
        ("datasets.mmlink.build_info.images.storage=[a, b #1]", "[a, b #1]"),
        ("datasets.mmlink.build_info.annotations.train.storage=[a.json, 042]", ["a.json", "042"]),
        ("datasets.mmlink={type: photographs, build_info: {check: full}}", "full"),
    ],
)
def test_the_value_of_an_option_is_what_its_setting_wants(resolve, option, value):
    config = resolve(FILE, option)
    key = option.partition("=")[0]
    below = {"model.guidance": ".context", "run.decoding": ".max_length", "datasets.mmlink": ".build_info.check"}
    found = OmegaConf.select(config.config, key + below.get(key, ""))
    assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == value
    assert config.origin(key) == "option"
    # What a run writes down says the same.
    again = resolve(OmegaConf.to_yaml(OmegaConf.create(config.to_dict())))
    assert again.to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("run.seed=1:30", "run.seed: found '1:30', wanted an integer"),
        ("run.init_lr=1:30", "run.init_lr: found '1:30', wanted a finite number"),
        ("run.max_epoch=0x10", "run.max_epoch: found '0x10', wanted an integer"),
        ("run.evaluate=maybe", "run.evaluate: found 'maybe', wanted true or false"),
        ("run.decoding.num_beams=1:30", "num_beams of generate is '1:30'"),
        ("run.test_splits=[test #1]", "run.test_splits: found '[test #1]', wanted a list of texts"),
        ("model.max_txt_len=1:30", "model.max_txt_len: found '1:30', wanted an integer"),
        ("model.guidance={context: all, context: self}", "model.guidance: found '{context: all, context: self}'"),
        ("datasets.mmlink.build_info.strict=maybe", "build_info.strict: found 'maybe', wanted true or false"),
        ("datasets.mmlink.build_info.shuffle_buffer=0x10", "shuffle_buffer: found '0x10', wanted an integer"),
        ("datasets.mmlink.sample_ratio=1:30", "datasets.mmlink.sample_ratio: found '1:30', wanted a finite number"),
        ("model.inject.low_rank={rank", "--options model.inject.low_rank: found '{rank'"),
    ],
)
def test_no_option_becomes_a_number_that_it_does_not_say(resolve, option, message):
    with pytest.raises(SamConfigurationError) as caught:
        resolve(FILE, option)
    assert message in str(caught.value)


def test_a_misread_number_in_a_file_is_named(resolve):
    with pytest.raises(SamConfigurationError, match=r"run\.yaml, line 5: found 042, which YAML 1\.1 reads as 34"):
        resolve(FILE.replace("init_lr: 1.0e-3", "seed: 042"))


@pytest.mark.parametrize(
    "options",
    [
        ["run.a", "1", "run.b"],
        ["run.a=1", "run.b", "2"],
        ["run.a", "1", "run.b=2", "run.c"],
        ["run.a", "1", "run.b=2", "3"],
        ["run.a"],
        ["=1"],
        ["run=1"],
        ["run..a=1"],
        ["run.a[0]=1"],
        ["run.a=1", "run.a=2"],
        ["run.a=\udcff"],
        [".run.a=1"],
    ],
)
def test_malformed_options_are_errors(options):
    """Defect 33: LAVIS silently loses an odd or mixed one."""
    with pytest.raises(SamConfigurationError, match="--options"):
        parse_options(options)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.guidance.contxt=self", "model.guidance: unknown key 'contxt'. Did you mean 'context'?"),
        ("model.vit_checkpoint=x", "model: unknown key 'vit_checkpoint'"),
        ("modle.arch=x", "unknown key 'modle'. Did you mean 'model'?"),
        ("run.epochs=3", "run: unknown key 'epochs'"),
        ("datasets.mmlnk.type=default", "datasets: unknown data set 'mmlnk'. Did you mean 'mmlink'?"),
        ("datasets.mmlink.build_info.image.storage=x", "unknown key 'image'. Did you mean 'images'?"),
        ("model.model_type=huge", "model.model_type: unknown model_type 'huge'. Valid: "),
        ("datasets.mmlink.type=photos", "datasets.mmlink.type: unknown type 'photos'. Did you mean 'photographs'?"),
        ("model.arch=blip3", "model.arch: unknown model 'blip3'"),
        ("run.max_epoch=-1", "run.max_epoch: found -1"),
        ("run.test_splits=[val]", "wants the split 'val', found {'mmlink': ['test', 'train']}"),
        ("run.output_dir=${oc.env:NOT_THERE}/x", "NOT_THERE"),
    ],
)
def test_unknown_options_and_names_are_answered(resolve, option, message):
    with pytest.raises(SamConfigurationError) as caught:
        resolve(FILE, option)
    assert message in str(caught.value)


def test_nothing_to_evaluate_is_an_error(resolve):
    with pytest.raises(SamConfigurationError, match=r"run.test_splits: found \[\]"):
        resolve(FILE, "run.evaluate=true", "run.test_splits=[]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {", "is no YAML"),
        ("- a\n- b", "found a list"),
        ("", "model: found nothing"),
        ("model: tiny\ndatasets: {}\nrun: {}", "model: found 'tiny', wanted a mapping"),
        (FILE.replace("{type: photographs}", "[1]"), "datasets.mmlink: found [1], wanted a mapping"),
        (FILE + "extra: {}", "unknown section 'extra'"),
        (FILE.replace("mmlink", "mlink"), "datasets: unknown data set 'mlink'. Did you mean 'mmlink'?"),
        (FILE.replace("init_lr", "ini_lr"), "run: unknown key 'ini_lr'. Did you mean 'init_lr'?"),
        (FILE.replace("model_type: tiny", "precision: fp32"), "model.model_type: unknown model_type None"),
    ],
)
def test_files_that_are_no_configuration(resolve, text, message):
    with pytest.raises(SamConfigurationError) as caught:
        resolve(text)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"--cfg-path: .*none\.yaml cannot be read \(No such file"):
        SamConfig(Namespace(cfg_path=str(tmp_path / "none.yaml"), options=None))


def test_a_base_beside_the_file_is_laid_under_it(tmp_path):
    """What several runs share, they say once; and the origin of a value is the file that says it."""
    (tmp_path / "base.yaml").write_text(FILE)
    path = tmp_path / "run.yaml"
    path.write_text("base: base.yaml\nrun: {init_lr: 5.0e-4}")
    config = SamConfig(Namespace(cfg_path=str(path), options=["run.seed=1"]))
    assert (config.run_cfg.init_lr, list(config.run_cfg.test_splits)) == (5e-4, ["test"])
    assert "base" not in config.to_dict()
    origins = [config.origin(f"run.{key}") for key in ("init_lr", "test_splits", "seed")]
    assert origins == [f"file {path}", f"file {tmp_path / 'base.yaml'}", "option"]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("gone.yaml", r"run\.yaml: base: .*gone\.yaml cannot be read"),
        ("[a, b]", r"base: found \['a', 'b'\], wanted a file beside it"),
        ("run.yaml", r"base: found 'run\.yaml', wanted a file beside it without a base of its own"),
    ],
)
def test_a_base_that_is_none_is_named(tmp_path, base, message):
    path = tmp_path / "run.yaml"
    path.write_text(f"base: {base}\n{FILE}")
    with pytest.raises(SamConfigurationError, match=message):
        SamConfig(Namespace(cfg_path=str(path), options=None))


# The recipes of runs; ablations are sweeps, and what stands in `data` is of syntheses.
_OTHERS = ("ablations", "data")
RECIPES = sorted(path for path in (REPOSITORY / "projects").rglob("*.yaml") if path.parent.name not in _OTHERS)
# The shared part of a folder of projects is no project itself.
PROJECTS = [path for path in RECIPES if path.name != "base.yaml"]


@pytest.mark.parametrize("path", PROJECTS, ids=lambda p: p.name)
def test_shipped_projects_resolve_and_open_with_their_command(path):
    relative = path.relative_to(REPOSITORY)
    config = SamConfig(Namespace(cfg_path=str(path), options=None), {})
    assert config.to_dict()["model"]["arch"] == "blip2_vicuna_sam"
    assert f"--cfg-path {relative}" in path.read_text().splitlines()[0]


def test_the_papers_recipe_loses_little_and_resumes_by_itself():
    """Its one epoch takes thousands of steps."""
    path = REPOSITORY / "projects" / "sam" / "train.yaml"
    run = SamConfig(Namespace(cfg_path=str(path), options=None)).run_cfg
    assert run.checkpoint_steps <= 500
    assert run.resume == "auto"
    again = SamConfig(Namespace(cfg_path=str(path), options=["run.resume=null"])).run_cfg
    assert again.resume is None


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("run_scripts/*.sh")), ids=lambda p: p.name)
def test_run_scripts_end_in_one_command_that_names_a_project(path):
    """Comments and the launcher's surroundings first; the last line is the run, and takes further options."""
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert path.stat().st_mode & 0o111
    words = shlex.split(lines[-1])
    project = REPOSITORY / words[words.index("--cfg-path") + 1]
    assert project.is_file()
    assert words[-1] == "$@"
    options = words[words.index("--options") + 1 : -1] if "--options" in words else []
    SamConfig(Namespace(cfg_path=str(project), options=options))


MODEL_TYPES = sorted(Blip2VicunaSAM.PRETRAINED_MODEL_CONFIG_DICT)
DATASET_TYPES = sorted(
    (name, kind)
    for name, builder in registry.mapping["builder_name_mapping"].items()
    if builder.__module__.startswith("lavis_sam.")
    for kind in builder.DATASET_CONFIG_DICT
)


def test_every_packaged_file_is_a_name():
    """No YAML under configs/ that no name leads to."""
    configs = PACKAGE / "configs"
    builders = [registry.get_builder_class(name) for name in {name for name, _ in DATASET_TYPES}]
    paths = [path for builder in builders for path in builder.DATASET_CONFIG_DICT.values()]
    paths += Blip2VicunaSAM.PRETRAINED_MODEL_CONFIG_DICT.values()
    found = {str(path) for folder in ("models", "datasets") for path in (configs / folder).rglob("*.yaml")}
    assert found == set(paths)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_model_type_is_a_whole_configuration(resolve, model_type):
    config = resolve(FILE.replace("tiny", model_type))
    assert config.model_cfg.model_type == model_type


@pytest.mark.parametrize(("name", "kind"), DATASET_TYPES, ids=lambda value: value)
def test_every_data_set_type_is_a_whole_configuration(resolve, name, kind):
    text = FILE.replace("mmlink: {type: photographs}", f"{name}: {{type: {kind}}}").replace("test_splits: [test], ", "")
    splits = OmegaConf.load(registry.get_builder_class(name).default_config_path(kind)).datasets[name]
    known = list(splits.build_info.annotations)
    run = ["run.train_splits=[train]"] if "train" in known else ["run.evaluate=true", f"run.test_splits=[{known[0]}]"]
    assert resolve(text, *run).datasets_cfg[name].type == kind


DEFECTS = REPOSITORY / "docs" / "lavis_defects.md"  # which quotes what goes wrong


def options_of_the_readme():
    """Every `--options …` of the README and its pages, and the file that it stands with (or the tiny one)."""
    pages = [REPOSITORY / "README.md", *sorted({*(REPOSITORY / "docs").rglob("*.md")} - {DEFECTS})]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for match in re.finditer(r"--options ((?:[\w.]+=\S+ ?)+)", text):
        before = text[: match.start()].splitlines()[-1]
        path = re.search(r"--cfg-path (\S+)", before)
        yield path.group(1) if path else "projects/sam/tiny/train.yaml", match.group(1).rstrip("`.,:").split()


@pytest.mark.parametrize(("path", "options"), list(options_of_the_readme()), ids=str)
def test_the_options_of_the_readme(path, options):
    options = [option.rstrip("`.,:") for option in options]
    SamConfig(Namespace(cfg_path=str(REPOSITORY / path), options=options))


TYPOS = """
model: {arch: blip2_vicuna_sam, model_type: tiny, max_text_len: 7, guidance: {contxt: self}}
datasets: {mmlink: {type: photographs, vis_procesor: {}}}
run: {task: multi_image_captioning, ini_lr: 1}
"""
OTHER_TYPE = """
model: {arch: blip2_vicuna_sam, model_type: vicuna7b}
datasets: {mmlink: {type: photographs}}
run: {task: multi_image_captioning, test_splits: [test]}
"""


def test_sam_config_refuses_unknown_keys(resolve):
    with pytest.raises(SamConfigurationError) as caught:
        resolve(TYPOS)
    for word in ("max_text_len", "'contxt'. Did you mean 'context'?", "vis_procesor", "ini_lr"):
        assert word in str(caught.value)


def test_sam_config_takes_the_defaults_of_the_model_type_in_an_option(resolve):
    found = resolve(OTHER_TYPE, "model.model_type=tiny").model_cfg
    assert (found.model_type, found.sizes.vision.width) == ("tiny", 128)


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "annotations.json").write_text("[]")
    return folder


def test_data_takes_the_place_of_the_data_sets_of_the_file(tmp_path, own):
    path = tmp_path / "run.yaml"
    processors = "{type: photographs, vis_processor: {train: {image_size: 112}}}"
    path.write_text(FILE.replace("{type: photographs}", processors))
    config = SamConfig(Namespace(cfg_path=str(path), options=["datasets.own.sample_ratio=1.0"], data=str(own)))
    assert list(config.datasets_cfg) == ["own"]
    section = config.datasets_cfg.own
    assert section.build_info.annotations == {"train": {"storage": str(own / "annotations.json")}}
    assert (section.vis_processor.train.image_size, section.vis_processor.train.name) == (112, "blip2_image_train")
    assert section.sample_ratio == 1.0
    assert config.origin("datasets.own.build_info.images.storage") == "option --data"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_takes_data(recipe, own):
    for split in ("train", "val", "test"):
        (own / f"annotations.{split}.json").write_text("[]")
    config = SamConfig(Namespace(cfg_path=str(recipe), options=[], data=str(own)))
    assert list(config.datasets_cfg) == ["own"]


def test_a_test_split_that_the_data_lack_is_a_note_and_what_an_option_asks_for_an_error(tmp_path, own, caplog):
    path = tmp_path / "run.yaml"
    path.write_text(FILE)
    arguments = {"cfg_path": str(path), "data": str(own)}
    config = SamConfig(Namespace(options=[], **arguments))
    assert config.run_cfg.test_splits == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the data have no split 'test'" in caplog.text
    for option in ("run.test_splits=[test]", "run.valid_splits=[val]", "run.test_splits=[tset]"):
        with pytest.raises(SamConfigurationError, match=r"wants the split '(test|val|tset)'"):
            SamConfig(Namespace(options=[option], **arguments))


def test_data_without_splits_are_what_an_evaluation_answers(tmp_path, own):
    path = tmp_path / "run.yaml"
    path.write_text(FILE)
    config = SamConfig(Namespace(cfg_path=str(path), options=[], data=str(own)), {"run.evaluate": True})
    assert list(config.datasets_cfg.own.build_info.annotations) == ["test"]
