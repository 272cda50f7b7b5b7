"""What is wrong with a configuration comes at once, before anything is built."""

from argparse import Namespace

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.run_config import SamConfig

FILE = """
model: {arch: blip2_vicuna_sam, model_type: tiny}
datasets:
  mmlink: {type: photographs}
run: {test_splits: [test], max_epoch: 1}
"""


@pytest.fixture
def resolve(tmp_path):
    def build(text=FILE, *options, **further):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return SamConfig(Namespace(cfg_path=str(path), options=list(options)), **further)

    return build


def problems(resolve, text=FILE, *options, **further):
    with pytest.raises(SamConfigurationError) as caught:
        resolve(text, *options, **further)
    return str(caught.value)


def test_everything_that_is_wrong_comes_in_one_message(resolve):
    text = """
model:
  {arch: blip2_vicuna_sam, model_type: tiny, max_txt_len: long, gradient_checkpoint: true, precision: fp8,
   guidance: {layer_l: 9, extractor: w_former}, trainable: samm}
datasets:
  mmlink: {type: photographs, build_info: {image: {storage: x}}}
run: {test_splits: [test], max_epochs: 3, init_lr: fast, decoding: {num_beam: 2}}
"""
    message = problems(resolve, text, "run.seed=x", "model.prmpt=hi")
    for words in (
        "model: unknown key 'gradient_checkpoint'. Did you mean 'gradient_checkpointing'?",
        "model.max_txt_len: found 'long', wanted an integer, such as 128",
        "model.precision is 'fp8'",
        "layer_l",
        "model.trainable: unknown preset 'samm'. Did you mean 'sam'?",
        "datasets.mmlink.build_info: unknown key 'image'. Did you mean 'images'?",
        "run: unknown key 'max_epochs'. Did you mean 'max_epoch'?",
        "run.init_lr: found 'fast', wanted a finite number",
        "run.seed: found 'x', wanted an integer",
        "run.decoding: unknown key 'num_beam'. Did you mean 'num_beams'?",
        "--options model.prmpt: model: unknown key 'prmpt'. Did you mean 'prompt'?",
    ):
        assert words in message, message


def test_unknown_names_come_with_wrong_values_of_run(resolve):
    text = FILE.replace("tiny", "tinny").replace("mmlink", "mmlnk").replace("max_epoch: 1", "max_epoch: -1")
    message = problems(resolve, text)
    for words in ("unknown model_type 'tinny'", "unknown data set 'mmlnk'", "run.max_epoch: found -1"):
        assert words in message


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("model.gradient_checkpointing=1", "wanted true or false"),
        ("model.guidance=all", "model.guidance: found 'all', wanted a mapping"),
        ("model.max_txt_len=1.5", "wanted an integer"),
        ("model.max_txt_len=true", "wanted an integer"),
        ("model.precision=16", "model.precision is '16'; choose one of fp32"),
        ("model.max_output_txt_len=1", "wanted at least 2"),
        ("datasets.mmlink.vis_processor=7", "datasets.mmlink.vis_processor: found 7, wanted a mapping"),
        ("model.guidance.layer_k=9", "layer_k"),
        ("model.guidance.layer_k=2", "layer_l"),
        ("run.decoding.num_beams=0", "num_beams"),
    ],
)
def test_wrong_types_and_impossible_settings(resolve, option, words):
    assert words in problems(resolve, FILE, option)


def test_what_a_user_may_add_is_no_problem(resolve):
    config = resolve(
        FILE,
        "datasets.mmlink.vis_processor.train.flip=false",
        "datasets.mmlink.build_info.annotations.train.storage=[a.json,b.json]",
        "datasets.mmlink.build_info.options.anything=1",
        "model.finetuned=null",
    )
    assert config.datasets_cfg.mmlink.vis_processor.train.flip is False


@pytest.mark.parametrize("key", ["resume", "resume_ckpt_path"])
def test_a_run_begins_anew_or_continues(resolve, key):
    message = problems(resolve, FILE, "run.overwrite=true", f"run.{key}=x.pth")
    assert f"run.overwrite and run.{key}: found both" in message
    assert f"add run.{key}=null to begin anew" in message


def test_resume_may_be_said_once(resolve):
    assert "found both" in problems(resolve, FILE, "run.resume=auto", "run.resume_ckpt_path=x.pth")


def test_missing_files_come_at_once_and_only_if_asked_for(resolve, monkeypatch):
    for name in ("INSTRUCTBLIP", "EVA_VIT", "VICUNA", "BERT", "CHECKPOINT"):
        monkeypatch.delenv(f"LAVIS_SAM_{name}", raising=False)
    text = FILE.replace("tiny", "vicuna7b").replace("photographs", "default").replace("test_splits: [test], ", "")
    resolve(text)
    message = problems(resolve, text, "run.resume=gone.pth", check_files=True)
    for words in (
        "model.pretrained: ",
        "model.vit_checkpoint: ",
        "model.llm_model: ",
        "LAVIS_SAM_VICUNA",
        "datasets.mmlink.build_info.annotations.train.storage: ",
        "datasets.mmlink.build_info.images.storage: ",
        "run.resume: found 'gone.pth', wanted `auto` or an existing checkpoint",
    ):
        assert words in message
    resolve(FILE, check_files=True)


def test_the_origin_of_values(resolve):
    config = resolve(FILE, "run.init_lr=2e-3")
    assert config.origin("run.init_lr") == "option"
    assert config.origin("run.max_epoch").startswith("file ")
    assert config.origin("run.weight_decay") == "default"
    assert config.origin("model.guidance.context") == "packaged models/blip2_vicuna_sam_tiny.yaml"
    assert config.origin("datasets.mmlink.build_info.images.storage") == "packaged mmlink/defaults_photographs.yaml"
