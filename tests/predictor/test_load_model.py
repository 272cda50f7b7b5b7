"""From names and paths to models: every kind of checkpoint in, every export back in."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from helpers.instructblip import folder_config, transformers_model, write_folder
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.parity.cases import read_case
from lavis_sam.parity.measure import build_case_model, read_samples
from lavis_sam.predictor.exporting import export_model
from lavis_sam.predictor.load_model import load_model, model_config, read_device
from lavis_sam.weights.checkpoints import save_checkpoint, trainable_state_dict, trained_checkpoint
from lavis_sam.weights.packaged import MODEL_CONFIGS, MODEL_TYPES, PACKAGE

FIXTURES = Path(__file__).parents[1] / "parity" / "fixtures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(transformers_model(), tmp_path_factory.mktemp("base") / "instructblip")


def assert_equal(found, wanted):
    own, other = found.state_dict(), wanted.state_dict()
    assert set(own) == set(other)
    for name in own:
        assert torch.equal(own[name], other[name]), name


SESSION = """
import sys, threading
from lavis_sam import SamPredictor

predictor = SamPredictor.from_pretrained("tiny", device="cpu")
left = predictor.stream([sys.argv[1]], "What?", max_length=30)  # half-way, and still referred to at the end
next(left)
predictor.explain([sys.argv[1]], "What?")
print([thread.name for thread in threading.enumerate() if not thread.daemon], "lavis" in sys.modules)
"""


def test_the_tiny_model_needs_no_lavis_and_a_stream_left_half_way_keeps_nothing_alive():
    image = PACKAGE / "assets" / "photographs" / "cat.jpg"
    command = [sys.executable, "-c", SESSION, str(image)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "['MainThread'] False"), done.stderr


def test_importing_the_package_stays_cheap():
    code = "import sys, lavis_sam; sys.exit(bool({'torch', 'numpy', 'PIL', 'typer'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
    import lavis_sam

    with pytest.raises(AttributeError, match="has no attribute 'SamPredictors'"):
        _ = lavis_sam.SamPredictors


def test_a_checkpoint_of_a_run_says_its_model_type_and_guidance(trained_tiny, tmp_path):
    guidance = {"context": "others", "layer_l": 2, "layer_k": 3}
    model = load_model("tiny", device="cpu", settings={"guidance": guidance})
    load_trained_state(model, trained_tiny)
    node = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["tiny"]).model)
    node["guidance"] |= guidance
    node["pretrained"] = "/another/machine"
    save_checkpoint(tmp_path / "checkpoint_best.pth", trained_checkpoint(model, {"model": node}))
    again = load_model(tmp_path / "checkpoint_best.pth", device="cpu")
    assert (again.guidance.context, again.guidance.layer_l, again.guidance.layer_k) == ("others", 2, 3)
    assert_equal(again, model)
    over = load_model("tiny", checkpoint=tmp_path / "checkpoint_best.pth", device="cpu")
    assert over.guidance == model.guidance
    found = model_config(tmp_path / "checkpoint_best.pth").pretrained
    assert found == "package:assets/tiny/base", "paths of other machines are not followed"


def load_trained_state(model, other):
    model.load_state_dict({**model.state_dict(), **trainable_state_dict(other)})


def test_transformers_folder_is_a_source_and_a_base(folder, tmp_path):
    alone = load_model(folder, device="cpu", precision="fp32")
    assert torch.equal(alone.llm_model.lm_head.weight[:-1].cpu(), lm_head(folder)[: len(alone.llm_tokenizer) - 1])
    named = load_model("vicuna7b", base=folder, device="cpu", precision="fp32")
    assert_frozen_equal(alone, named)
    export_model(alone, tmp_path / "adapter", "adapter", source=folder)
    assert_frozen_equal(load_model(tmp_path / "adapter", base=folder, device="cpu", precision="fp32"), alone)


def lm_head(folder):
    from lavis_sam.weights.instructblip import InstructBlipFolder

    return InstructBlipFolder.read(folder).entries["language_model.lm_head.weight"].read()


def assert_frozen_equal(one, other):
    trained = trainable_state_dict(one)
    for name, tensor in one.state_dict().items():
        assert name in trained or torch.equal(tensor, other.state_dict()[name]), name


def test_a_13b_folder_is_vicuna13b(folder, tmp_path):
    wide = shutil.copytree(folder, tmp_path / "wide")
    config = json.loads((wide / "config.json").read_text())
    config["text_config"] |= {
        "hidden_size": 5120,
        "num_attention_heads": 40,
        "num_key_value_heads": 40,
        "head_dim": 128,
    }
    (wide / "config.json").write_text(json.dumps(config))
    assert model_config(wide).model_type == "vicuna13b"
    assert model_config(folder).model_type == "vicuna7b"


@pytest.mark.parametrize("case_name", ["A", "B"])
@pytest.mark.parametrize("with_projection", [True, False])
def test_released_checkpoint_over_instructblip_reproduces_the_fixtures(tmp_path, case_name, with_projection):
    """The shared cases as their users meet them: an InstructBLIP file, EVA's, a Vicuna folder, and SAM's over them."""
    from helpers.weights import config_for, write_release
    from lavis_sam.models.sizes import ModelSizes
    from lavis_sam.parity.measure import _read_sizes
    from lavis_sam.weights.build_model import build_model

    case = read_case(FIXTURES, case_name)
    reference = build_case_model(case)
    sizes = ModelSizes.from_mapping(_read_sizes(case, case.weights))
    files = write_release(tmp_path, reference) | {"bert_tokenizer": str(case.tokenizers)}
    shutil.copy(case.tokenizers / "tokenizer.model", files["llm_model"])
    layers = ("attn.", "Qformer.bert.encoder.one_2_muliple.", "Qformer.bert.encoder.multiple_2_one.")
    released = {name: t for name, t in case.weights.items() if name.startswith(layers)}
    if with_projection:
        released |= {name: t for name, t in case.weights.items() if name.startswith("llm_proj.")}
        base = torch.load(files["pretrained"], weights_only=True)
        base["model"] |= {name: torch.zeros_like(t) for name, t in released.items() if name.startswith("llm_proj.")}
        torch.save(base, files["pretrained"])
    torch.save({"model": released}, tmp_path / "sam.pth")
    config = config_for(reference, sizes, files, finetuned=str(tmp_path / "sam.pth"))
    model = build_model(config)
    samples = read_samples(case)
    with torch.no_grad():
        visual = model.eval().encode(samples, samples["text_input"])
        loss = model(samples)["loss"]
    torch.testing.assert_close(visual.tokens, case.arrays["out.visual_tokens"], atol=5e-5, rtol=0)
    # [PAD] is in no released file, and its logit in every softmax: give it the case's own.
    for name in ("llm_model.model.embed_tokens.weight", "llm_model.lm_head.weight"):
        with torch.no_grad():
            model.get_parameter(name)[-1] = case.weights[name][-1]
    with torch.no_grad():
        exact = model(samples)["loss"]
    torch.testing.assert_close(exact, case.arrays["out.loss"][0], atol=5e-5, rtol=0)
    assert abs(loss - exact) < 0.05


def test_settings_reach_the_model():
    model = load_model(
        "tiny", device="cpu", precision="bf16", settings={"max_txt_len": 9, "guidance": {"context": "self"}}
    )
    assert model.max_txt_len == 9
    assert model.guidance.context == "self"
    assert model.llm_model.lm_head.weight.dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("tinny", {}, SamConfigurationError, "'tinny' is no packaged model type (vicuna7b, vicuna13b, tiny, custom)"),
        (
            "tiny",
            {"settings": {"guidanse": {}}},
            SamConfigurationError,
            "unknown key 'guidanse'. Did you mean 'guidance'?",
        ),
        ("tiny", {"settings": {"guidance": "all"}}, SamConfigurationError, "guidance"),
        ("tiny", {"precision": "fp8"}, SamConfigurationError, "model.precision is 'fp8'"),
        ("tiny", {"device": "cuda:99"}, SamConfigurationError, "sees"),
        ("tiny", {"device": "toaster"}, SamConfigurationError, "device is 'toaster'; choose cpu, cuda"),
        ("tiny", {"checkpoint": "nowhere.pth"}, SamCheckpointError, "nowhere.pth: No such file"),
    ],
)
def test_wrong_names_are_one_clear_error(source, options, error, words):
    with pytest.raises(error) as caught:
        load_model(source, **{"device": "cpu", **options})
    assert words in str(caught.value)


def test_a_folder_of_neither_kind(tmp_path):
    with pytest.raises(SamCheckpointError, match="neither an adapter"):
        load_model(tmp_path, device="cpu")


def test_a_checkpoint_of_another_model_type(trained_tiny, folder, tmp_path):
    export_model(trained_tiny, tmp_path / "adapter", "adapter", source="tiny")
    with pytest.raises(SamConfigurationError, match=r"was trained over tiny, and .* is vicuna7b"):
        load_model(folder, checkpoint=tmp_path / "adapter", device="cpu")


def test_a_checkpoint_with_a_strange_model_type(tmp_path):
    torch.save({"model": {"a": torch.ones(1)}, "config": {"model": {"model_type": "huge"}}}, tmp_path / "a.pth")
    with pytest.raises(SamCheckpointError, match="its model_type is 'huge'"):
        load_model(tmp_path / "a.pth", device="cpu")


SECRET = "${oc.env:OPENAI_API_KEY}"


def trained_as(kind, model, folder, **said):
    """What a stranger gives away: an adapter or a checkpoint, with what it says of its model changed."""
    if kind == "adapter":
        path = folder / "theirs"
        export_model(model, path, "adapter", source="tiny")
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | said))
        return path
    node = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["tiny"]).model)
    save_checkpoint(folder / "theirs.pth", trained_checkpoint(model, {"model": node | said}))
    return folder / "theirs.pth"


@pytest.mark.parametrize("prompt", [SECRET, "a ${model_type} b", r"\${oc.env:OPENAI_API_KEY}", "${", "${nowhere}"])
@pytest.mark.parametrize("kind", ["adapter", "checkpoint"])
def test_texts_of_a_file_are_literal_and_stay_so_when_exported(trained_tiny, tmp_path, monkeypatch, kind, prompt):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    path = trained_as(kind, trained_tiny, tmp_path, prompt=prompt)
    for options in ({"source": path}, {"source": "tiny", "checkpoint": path}):
        model = load_model(**options, device="cpu")
        assert model.prompt == prompt
        export_model(model, tmp_path / "again", "adapter", overwrite=True, **options)
        said = json.loads((tmp_path / "again" / "config.json").read_text())
        assert said["prompt"] == prompt
        assert "sk-secret" not in (tmp_path / "again" / "README.md").read_text()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"prompt": "???"}, r"prompt: is '\?\?\?'"),
        ({"prompt": ["a"]}, r"prompt is \['a'\], a value of type str"),
        ({"guidance": {"context": SECRET}}, r"guidance\.context is '\$\{oc\.env:OPENAI_API_KEY\}'; choose one of"),
        ({"guidance": {"layer_l": "2"}}, r"guidance\.layer_l is '2'"),
        ({"guidance": {"depth": 1}}, "depth"),
        ({"guidance": {"context": ["all"]}}, "context"),
        ({"guidance": [1]}, r"guidance is \[1\], a value of type dict"),
        ({"inject": {"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}}, "nested more deeply"),
        ({"model_type": ["tiny"]}, r"model_type is \['tiny'\], a value of type str"),
        ({"model_type": "???"}, "model_type: is"),
        ({"trainable": {}}, r"trainable is \{\}, a value of type str"),
        ({"max_txt_len": True}, "max_txt_len is True, a value of type int"),
        ({"max_txt_len": 0}, "max_txt_len is 0, a number from 1 to"),
        ({"max_output_txt_len": 10**40}, "max_output_txt_len: is a int; text, a number of 64 bits"),
        ({"max_output_txt_len": 1e3}, "max_output_txt_len is 1000.0, a value of type int"),
    ],
)
@pytest.mark.parametrize("kind", ["adapter", "checkpoint"])
def test_impossible_settings_in_a_file_are_one_clear_error(trained_tiny, tmp_path, kind, said, words):
    path = trained_as(kind, trained_tiny, tmp_path, **said)
    with pytest.raises(SamCheckpointError, match=rf"theirs(\.pth|/config\.json): .*{words}"):
        model_config(path)
    with pytest.raises(SamCheckpointError, match=rf"theirs(\.pth|/config\.json): .*{words}"):
        model_config("tiny", checkpoint=path)


def test_a_path_is_literal_too(trained_tiny, tmp_path):
    folder = tmp_path / "exp ${oc.env:HOME} ${x}"
    folder.mkdir()
    path = trained_as("checkpoint", trained_tiny, folder)
    assert_equal(load_model(path, device="cpu"), trained_tiny)
    assert model_config(path).finetuned == str(path)
    assert model_config("vicuna7b", base=folder / "none.pth").pretrained == str(folder / "none.pth")


def test_vicuna13b_is_packaged_with_its_sizes():
    from lavis_sam.models.sizes import ModelSizes
    from lavis_sam.weights.locations import weight_sources

    assert MODEL_TYPES == ("vicuna7b", "vicuna13b", "tiny", "custom")
    config = OmegaConf.load(MODEL_CONFIGS["vicuna13b"]).model
    small, large = ModelSizes(), ModelSizes.from_mapping(config.sizes)
    assert (large.vision, large.q_former) == (small.vision, small.q_former)
    language = large.language
    assert (language.width, language.layers, language.heads, language.intermediate) == (5120, 40, 40, 13824)
    variables = {source.environment for source in weight_sources(config)}
    assert {"LAVIS_SAM_INSTRUCTBLIP_13B", "LAVIS_SAM_VICUNA_13B", "LAVIS_SAM_EVA_VIT"} <= variables
    assert set(config) == set(OmegaConf.load(MODEL_CONFIGS["vicuna7b"]).model)


def test_the_default_device_is_the_first_gpu_or_the_cpu():
    assert read_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_out_of_memory_while_loading(monkeypatch):
    from lavis_sam.predictor import load_model as loading

    def explode(*args, **more):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried 28 GB")

    monkeypatch.setattr(loading, "build_model", explode)
    with pytest.raises(SamConfigurationError, match=r"out of memory while loading tiny to cpu.*smaller precision"):
        load_model("tiny", device="cpu")


def test_the_folder_config_helper_is_what_the_source_gives(folder):
    found, wanted = model_config(folder, precision="fp32"), folder_config(folder)
    assert found.sizes.language == wanted.sizes.language
    assert found.guidance == wanted.guidance
