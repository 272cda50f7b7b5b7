"""`lavis-sam caption` on the command line."""

import json
import sys
from types import SimpleNamespace

import pytest

from lavis_sam import SamPredictor
from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose"))
GREEDY = ("--num-beams", "1", "--max-length", "8", "--device", "cpu")


def no_model(*given):
    raise AssertionError("a model was loaded")


def test_caption_prints_the_answer_and_nothing_else(run):
    code, out, err = run("caption", CAT, NOSE, "--prompt", "What do both images show?", *GREEDY)
    assert code == 0
    assert len(out.strip().splitlines()) == 1
    assert "untrained" not in err


def test_caption_says_that_a_base_answers_alone(run, tmp_path):
    assert run("export", tmp_path / "base", "--format", "instructblip")[0] == 0
    code, out, err = run("caption", CAT, "-p", "What?", *GREEDY, "--model", tmp_path / "base", "--precision", "fp32")
    assert code == 0
    assert "SAM's layers are untrained" in err
    alone = SamPredictor.from_pretrained(tmp_path / "base", device="cpu", precision="fp32")
    assert out.strip() == alone.caption([CAT], "What?", num_beams=1, max_length=8)


def test_caption_as_json(run):
    code, out, _ = run("caption", CAT, NOSE, "-p", "What?", *GREEDY, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["images"] == [CAT, NOSE]
    assert result["decoding"]["num_beams"] == 1
    assert result["is_trained"] is True
    _, plain, _ = run("caption", CAT, NOSE, "-p", "What?", *GREEDY)
    assert result["answers"] == [plain.strip()]


def test_caption_streams_the_same(run):
    _, whole, _ = run("caption", CAT, "-p", "What?", *GREEDY)
    code, pieces, _ = run("caption", CAT, "-p", "What?", *GREEDY, "--stream")
    assert (code, pieces) == (0, whole)


def test_caption_gives_several_answers(run):
    code, out, _ = run("caption", CAT, "--num-beams", "2", "--num-captions", "2", "--max-length", "6", "--json")
    assert code == 0
    assert len(json.loads(out)["answers"]) == 2


def test_caption_checks_images_and_settings_before_it_loads_a_model(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["lavis_sam.cli.caption"], "load_predictor", no_model)
    (tmp_path / "broken.png").write_bytes(b"?")
    for words, message in (
        ([CAT, tmp_path / "broken.png"], "broken.png: unreadable image"),
        ([CAT, "--num-beams", "0"], "num_beams"),
        ([CAT, "--jsonl"], "--json"),
        ([CAT, "--each", "--json"], "--jsonl"),
    ):
        code, out, err = run("caption", *words)
        assert (code, out) == (2, "")
        assert message in err


def test_caption_each_answers_the_whole_ones_as_json_lines(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text(f"{CAT}\n{CAT} {NOSE}\n{tmp_path / 'empty'}\n{NOSE}\n")
    code, out, err = run("caption", tmp_path / "list.txt", "--each", "-p", "What?", *GREEDY)
    assert code == 1
    assert "1 of 4 samples could not be answered" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["images"] for line in lines] == [[CAT], [CAT, NOSE], [], [NOSE]]
    assert ["error" in line for line in lines] == [False, False, True, False]
    _, alone, _ = run("caption", CAT, NOSE, "-p", "What?", *GREEDY)
    assert lines[1]["answers"] == [alone.strip()]


def test_caption_each_loads_no_model_for_samples_that_are_all_wrong(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["lavis_sam.cli.caption"], "load_predictor", no_model)
    code, out, _ = run("caption", tmp_path / "a", tmp_path / "b", "--each")
    assert code == 1
    assert [json.loads(line)["sample"] for line in out.splitlines()] == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_caption_each_on_a_terminal_names_the_sample(run, monkeypatch):
    monkeypatch.setattr(sys.modules["lavis_sam.cli.caption"], "load_predictor", lambda *_: Echo())
    terminal = SimpleNamespace(isatty=lambda: True, flush=lambda: None)
    monkeypatch.setattr(sys.modules["lavis_sam.cli.caption"], "sys", SimpleNamespace(stdout=terminal))
    code, out, _ = run("caption", CAT, "--each")
    assert (code, out) == (0, f"{CAT}: an answer\n")


class Echo:
    is_trained = True

    def caption(self, images, prompt, **decoding):
        return "an answer"


@pytest.mark.parametrize("command", [("caption",), ("explain", "--out", "out")])
@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_refused_before_anything_is_read(run, command, prompt):
    code, _, error = run(*command, "missing.jpg", "--prompt", prompt)
    assert (code, "wanted a question about the images" in error, "--prompt" in error) == (2, True, True)
    assert "missing.jpg" not in error
