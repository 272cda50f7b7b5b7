"""`lavis-sam caption` on the command line."""

import json

from lavis_sam.weights.packaged import PACKAGE

PHOTOGRAPHS = PACKAGE / "assets" / "photographs"
CAT, NOSE = (str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose"))
GREEDY = ("--num-beams", "1", "--max-length", "8", "--device", "cpu")


def test_caption_prints_the_answer_and_nothing_else(run):
    code, out, err = run("caption", CAT, NOSE, "--prompt", "What do both images show?", *GREEDY)
    assert code == 0
    assert len(out.strip().splitlines()) == 1
    assert "SAM's layers are untrained" in err


def test_caption_as_json(run):
    code, out, _ = run("caption", CAT, NOSE, "-p", "What?", *GREEDY, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["images"] == [CAT, NOSE]
    assert result["decoding"]["num_beams"] == 1
    assert result["is_trained"] is False
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
