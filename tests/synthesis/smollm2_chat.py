"""SmolLM2-135M writes places and smoother answers on loopback, and speaks for our model; run by `make test-smollm2`.

Not collected by default: its weights live in an environment of its own. The counts that it prints are those of
docs/synthesis/backends.md; SAMPLES in the environment asks for more than a proof needs.
"""

import json
import os
import re
import time
from collections import Counter

import pytest

from helpers import smollm2
from helpers.environments import REPOSITORY
from helpers.synthesis import folder_digest
from helpers.synthesis_models import write_stable_diffusion
from helpers.synthesis_runs import make
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.errors import SamDataError
from lavis_sam.predictor import SamPredictor
from lavis_sam.synthesis.backends.chat import read_refined
from lavis_sam.synthesis.configuration import read_config
from lavis_sam.synthesis.protocols import RefineRequest

NUM = int(os.environ.get("SAMPLES", "4"))
PHOTOGRAPHS = REPOSITORY / "lavis_sam" / "assets" / "photographs"


@pytest.fixture(scope="module")
def service():
    with smollm2.chat_service() as found:
        yield found


@pytest.fixture(params=["turns", "text"])
def plain(request, service, tmp_path):
    """Embedded sources and plain answers; places are painted by a pipeline of random weights, which nothing judges."""
    preset = read_config("mmlink")
    chat = {
        "backend": "chat",
        "model": "SmolLM2-135M-Instruct",
        "url": service.url,
        "cache": str(tmp_path / "answers"),
        "max_tokens": 40,
        "concurrency": 1,
        "timeout": 600,
        "examples": request.param,
    }
    painted = {"backend": "diffusers", "model": str(write_stable_diffusion(tmp_path / "sd")), "device": "cpu"}
    stages = {"segment": {"backend": "exact"}, "background": chat, "inpaint": {**painted, "steps": 2}, "refine": chat}
    return {
        **preset,
        "kinds": {"characters": 1, "furniture": 1},
        "stages": {**preset["stages"], **stages},
        "use_source_masks": True,
        "pictures": {"size": 64},
        "quality": {"text.attributes": {"min": 1}},
        "run": {"part_size": 1, "shard_size": 64, "attempts": 12 if request.param == "turns" else 3},
    }


def why(message):
    """The reason of a refusal, without what was said and without its numbers."""
    reason = message.rpartition("': " if "': " in message else '": ')[2]
    return re.sub(r"\d+ words, wanted", "N words, wanted", re.sub(r"^it lost .*", "it lost a word", reason))


def refined(answers):
    """How many smoother answers could be used, were the plain ones again, or were refused, and why."""
    counts = Counter()
    for prompt, answer in answers:
        words, plain_answer = re.search(r"Words: (.*)\nAnswer: (.*)\nRewritten:$", prompt).groups()
        try:
            text = read_refined(answer, RefineRequest(None, "", plain_answer, words.split(", ")))
            counts["as it was" if text == plain_answer else "used"] += 1
        except SamDataError as error:
            counts[why(str(error))] += 1
    return counts


def test_smollm2_writes_places_and_what_is_refused_has_its_reason(service, plain, tmp_path):
    asked, answer = [], service.otherwise

    def remembering(body):
        reply = answer(body)
        asked.append((body["messages"][-1]["content"], json.loads(reply.body)["choices"][0]["message"]["content"]))
        return reply

    service.otherwise, began = remembering, time.process_time()
    try:
        manifest = make(tmp_path / "set", plain, num=NUM)
        number = len(asked)
        again = make(tmp_path / "again", plain, num=NUM)
    finally:
        service.otherwise = answer
    assert again == manifest
    assert len(asked) == number, "the second run asks nothing"
    assert folder_digest(tmp_path / "again") == folder_digest(tmp_path / "set")

    rejections = [json.loads(line) for line in (tmp_path / "set" / "rejections.jsonl").read_text().splitlines()]
    samples = [json.loads(line) for line in (tmp_path / "set" / "samples.jsonl").read_text().splitlines()]
    places = [question for question, _ in asked if question.endswith("Background:")]
    refused = Counter(why(entry["limit"]) for entry in rejections if entry["stage"] == "background")
    seconds = time.process_time() - began
    shown = {
        "examples": plain["stages"]["background"]["examples"],
        "samples": f"{manifest['accepted']} of {NUM} from {manifest['tries']} tries",
        "places": f"{len(places)} asked",
        "refused": dict(refused.most_common()),
        "answers": dict(refined([pair for pair in asked if pair not in places and pair[0].endswith("Rewritten:")])),
        "seconds a question": round(seconds / number, 2),
        "written": [image["background"]["text"] for sample in samples for image in sample["pictures"]],
    }
    print(json.dumps(shown, indent=1))
    assert {entry["stage"] for entry in rejections} <= {"background", "duplicates"}
    assert sum(refused.values()) + manifest["accepted"] <= manifest["tries"]
    if plain["stages"]["background"]["examples"] == "turns":
        assert manifest["accepted"] == len(read_annotations(tmp_path / "set" / "annotations.json", tmp_path / "set"))
        assert manifest["accepted"] >= NUM / 2
    else:  # so small a model goes on with the examples
        assert refused["it repeats the question"] > len(places) / 2


def test_smollm2_is_a_language_model_of_ours(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    read, tokenizer = smollm2.read()
    settings = {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    plain = LlamaForCausalLM(LlamaConfig.from_dict(settings))  # transformers saves nothing that it read from GGUF
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(tmp_path / "llm")
    tokenizer.save_pretrained(tmp_path / "llm")
    predictor = SamPredictor.from_pretrained("tiny", device="cpu", settings={"llm_model": str(tmp_path / "llm")})
    assert predictor.model.llm_model.config.num_key_value_heads == 3
    assert predictor.model.llm_proj.out_features == 576
    images = [str(PHOTOGRAPHS / f"{name}.jpg") for name in ("cat_eyes", "cat_nose")]
    assert isinstance(predictor.caption(images, "What do both images show?", num_beams=1, max_length=12), str)
