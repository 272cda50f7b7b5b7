"""A task of lmms-eval: `NAME.yaml`, and `NAME.jsonl` with a document for each sample.

The task's functions are ours (`lavis_sam.evaluators.lmms_eval_task`), so the folder holds no code. Paths are absolute,
as lmms-eval reads them from whatever folder it was started in.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.files import write_text

_FUNCTIONS = "lavis_sam.evaluators.lmms_eval_task"
# Metric names of `lavis_sam.evaluators.scoring`, which this room may not import; a test compares the two.
METRICS = tuple(f"{protocol}_{metric}" for protocol in ("sam", "coco") for metric in ("rouge", "cider", "bleu4"))


def write_lmms_eval(samples: Sequence[MultiImageSample], images: Path, out: Path, name: str) -> list[Path]:
    """Write a task.

    Args:
        images: The root of their paths.
        out: The folder for `--include_path`; it is made.
        name: The task's.

    Returns:
        The two files.
    """
    out.mkdir(parents=True, exist_ok=True)
    documents, task = out.absolute() / f"{name}.jsonl", out / f"{name}.yaml"
    root = images.absolute()
    write_text(documents, "".join(json.dumps(_document(sample, root)) + "\n" for sample in samples))
    write_text(task, _yaml(name, documents))
    return [task, documents]


def _document(sample: MultiImageSample, root: Path) -> dict[str, object]:
    return {
        "sample_id": str(sample.id),  # a column has one type
        "images": [str(root / image) for image in sample.images],
        "instruction": sample.instruction,
        "gt_response": sample.output,
        "references": list(sample.references),
    }


def _yaml(name: str, documents: Path) -> str:
    metrics = "".join(
        f"  - metric: {metric}\n    aggregation: !function {_FUNCTIONS}.{metric}\n    higher_is_better: true\n"
        for metric in METRICS
    )
    # A text of JSON is one of YAML. `until: []`: an answer is not cut at an empty line, which lmms-eval would add.
    return f"""\
# lmms-eval --model lavis_sam --model_args pretrained=tiny --tasks {name} --include_path FOLDER_OF_THIS_FILE
task: {json.dumps(name)}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {json.dumps(str(documents))}
test_split: test
output_type: generate_until
doc_to_visual: !function {_FUNCTIONS}.doc_to_visual
doc_to_text: !function {_FUNCTIONS}.doc_to_text
doc_to_target: gt_response
process_results: !function {_FUNCTIONS}.process_results
generation_kwargs:
  until: []
metric_list:
{metrics}metadata:
  - version: 1.0
"""
