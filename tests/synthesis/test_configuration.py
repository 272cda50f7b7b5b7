import pytest

from helpers.synthesis import config
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.configuration import SynthesisSettings, packaged_configs, read_config


@pytest.mark.parametrize("name", packaged_configs())
def test_every_packaged_configuration_is_valid_and_judges(name):
    settings = SynthesisSettings.from_config(read_config(name), name)
    assert settings.quality["composite.overlap"].max == (None if name == "unjudged" else 0.1)
    segmenters = {"pretraining": "exact", "mmlink_paper": "segment_anything"}
    assert settings.stages.segment.backend == segmenters.get(name, "u2netp")


def test_the_packaged_forms_are_those_that_the_names_promise():
    forms = {name: SynthesisSettings.from_config(read_config(name)) for name in packaged_configs()}
    assert forms["mmlink"].form == "pairs"
    assert forms["mmlink"].split == forms["captions"].split == "train"
    assert (forms["pretraining"].form, forms["pretraining"].split) == ("captions", "all")
    for name in ("groups", "stories", "changes"):
        assert forms[name].form == name
        assert forms[name].split == "held_out"
    assert {name: forms[name].image_count for name in forms} == {
        "mmlink": 2, "groups": 5, "stories": 3, "changes": 2, "captions": 1, "pretraining": 1, "mmlink_paper": 2,
        "unjudged": 2,
    }  # fmt: skip


def test_a_file_holds_only_what_differs_from_its_base(tmp_path):
    (tmp_path / "between.yaml").write_text("base: mmlink\nrun: {attempts: 3}\nquality: {mask.area: {min: 0.1}}\n")
    (tmp_path / "mine.yaml").write_text(
        "base: between.yaml\nkinds: {icons: 1}\nquality:\n  mask.holes: null\n"
        "sources: {characters: {backend: folder, root: x}}\n"
    )
    settings = SynthesisSettings.from_config(read_config(tmp_path / "mine.yaml"))
    assert settings.run.attempts == 3
    assert settings.run.part_size == 16
    assert settings.kinds == {"icons": 1.0}, "kinds are replaced, not merged"
    assert settings.quality["mask.area"].min == 0.1
    assert settings.quality["mask.area"].max == 0.8, "the other half of a threshold stays"
    assert settings.quality["mask.holes"].max is None
    assert settings.sources["characters"].options == {"root": "x"}
    assert settings.sources["icons"].backend == "embedded"


def test_another_backend_does_not_inherit_options(tmp_path):
    (tmp_path / "a.yaml").write_text("base: mmlink\nsources: {characters: {backend: folder, root: x}}\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\nsources: {characters: {backend: procedural}}\n")
    assert SynthesisSettings.from_config(read_config(tmp_path / "b.yaml")).sources["characters"].options == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "top level: unknown key 'colour'"),
        ({"form": "trios"}, "form: found 'trios', wanted one of pairs"),
        ({"split": 3}, "split: found 3, wanted a text"),
        ({"kinds": {"cats": 1}}, "unknown kind 'cats'"),
        ({"kinds": {"icons": -1}}, "kinds.icons: found -1, wanted at least 0"),
        ({"kinds": {"icons": 0}}, "kinds: found no weight above 0"),
        ({"kinds": {}}, "kinds: found no weight above 0"),
        ({"sources": {"characters": 5}}, "sources.characters: found 5, wanted {backend: name"),
        ({"sources": {"cats": "x"}}, "unknown kind 'cats'"),
        ({"stages": {"segmnt": "x"}}, "Did you mean 'segment'?"),
        ({"pictures": {"size": 10}}, "pictures.size: found 10, wanted at least 64 (side in pixels)"),
        ({"pictures": {"size": 128.5}}, "wanted an integer"),
        ({"pictures": {"format": "gif"}}, "wanted one of jpeg, png"),
        ({"run": {"attempts": True}}, "run.attempts: found True, wanted an integer"),
        ({"quality": {"mask.aera": {"min": 1}}}, "Did you mean 'mask.area'?"),
        ({"quality": {"mask.area": {"least": 1}}}, "quality.mask.area: unknown key 'least'"),
        ({"quality": {"mask.area": {"min": float("nan")}}}, "wanted a finite number"),
        ({"quality": {"mask.area": {"min": 2, "max": 1}}}, "quality.mask.area: found min 2 above max 1"),
        ({"form": "stories"}, "stories are told of characters only"),
        ({"run": []}, "run: found [], wanted a mapping"),
    ],
)
def test_every_mistake_is_named_with_its_place(change, message):
    with pytest.raises(SamConfigurationError) as error:
        SynthesisSettings.from_config(config() | change)
    assert message in str(error.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SamConfigurationError) as error:
        SynthesisSettings.from_config({"form": "trios", "run": {"attempts": 0}, "quality": {"x": {}}}, "mine.yaml")
    assert str(error.value).startswith("mine.yaml:\n")
    assert len(str(error.value).splitlines()) == 4


def test_kinds_need_a_source():
    plain = config()
    del plain["sources"]["icons"]
    with pytest.raises(SamConfigurationError, match=r"sources\.icons: missing"):
        SynthesisSettings.from_config(plain)


@pytest.mark.parametrize("kinds", [["icons"], ["covers", "icons"]])
def test_kinds_can_be_chosen(kinds):
    assert set(SynthesisSettings.from_config(config()).with_kinds(kinds).kinds) == set(kinds)


@pytest.mark.parametrize("kinds", [[], ["icon"]])
def test_impossible_kinds_are_refused(kinds):
    with pytest.raises(SamConfigurationError, match="--kinds"):
        SynthesisSettings.from_config(config()).with_kinds(kinds)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no_such_name", None, "unknown configuration 'no_such_name'"),
        ("absent.yaml", None, "cannot be read"),
        ("broken.yaml", "a: [1", "is no YAML"),
        ("list.yaml", "- 1\n", "found a list"),
        ("bytes.yaml", b"\xff\xfe\x00", "is no YAML"),
        ("circle.yaml", "base: circle.yaml\n", "is it a circle?"),
        ("orphan.yaml", "base: nobody\n", "unknown configuration 'nobody'"),
    ],
)
def test_unreadable_files_are_one_clear_error(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SamConfigurationError, match=r"\S") as error:
        read_config(path if "." in name else name)
    assert message in str(error.value)


def test_the_fingerprint_changes_with_every_setting():
    base = SynthesisSettings.from_config(config())
    assert base.fingerprint() == SynthesisSettings.from_config(config()).fingerprint()
    for change in ({"split": "held_out"}, {"quality": {"mask.holes": {"max": 0.5}}}, {"kinds": {"icons": 1}}):
        assert SynthesisSettings.from_config(config(**change)).fingerprint() != base.fingerprint()


def test_the_preset_of_the_paper_names_its_parts():
    stages = SynthesisSettings.from_config(read_config("mmlink_paper")).stages
    assert {job: getattr(stages, job).backend for job in vars(stages)} == {
        "segment": "segment_anything",
        "background": "chat",
        "inpaint": "diffusers",
        "describe": "instructblip",
        "refine": "chat",
        "score": "clip",
    }
