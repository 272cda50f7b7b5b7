"""DEMON, the benchmark whose prompt convention SAM's evaluation follows: instruction and context, nothing between.

One JSON document: `metadata.task_instruction` lists the instructions; each of `data` has `sample_id`,
`task_instruction_id`, `response`, and a `task_instance` with `context`, `images_path` and, for multiple choice,
`choice_list`.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lavis_sam.datasets.formats.fields import RecordError, items, mapping, number, wrong_type
from lavis_sam.datasets.problems import AnnotationProblem
from lavis_sam.datasets.records import read_document


def demon_records(
    path: Path, problems: list[AnnotationProblem], instruct: Callable[[str, int], str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield records of the unified format.

    Args:
        problems: What cannot be used is appended here.
        instruct: From a sample's id and its number of images, the instruction to put in the place of DEMON's.

    Yields:
        Place and record.

    Raises:
        UnreadableFileError: No such file, or no JSON.
    """
    document = read_document(path)
    try:
        instructions = items(mapping(mapping(document, "document").get("metadata"), "metadata"), "task_instruction")
        data = items(document, "data")
    except RecordError as error:
        problems += [AnnotationProblem(kind, str(path), text, whole_file=True) for kind, text in error.problems]
        return
    for index, record in enumerate(data):
        place = f"{path} data[{index}]"
        try:
            yield place, _unified(mapping(record), instructions, instruct)
        except RecordError as error:
            problems += [AnnotationProblem(kind, place, message) for kind, message in error.problems]


def _unified(
    record: Mapping[str, Any], instructions: list[Any], instruct: Callable[[str, int], str] | None
) -> dict[str, Any]:
    chosen = number(record, "task_instruction_id")
    if not 0 <= chosen < len(instructions) or not isinstance(instructions[chosen], str):
        wanted = f"the index of one of {len(instructions)} texts in metadata.task_instruction"
        raise wrong_type("task_instruction_id", chosen, wanted)
    instance = mapping(record.get("task_instance"), "task_instance")
    context = instance.get("context")
    if not isinstance(context, str):
        raise wrong_type("context", context, "a text")
    instruction = instructions[chosen]
    if instruct is not None:
        instruction = instruct(str(record.get("sample_id")), len(items(instance, "images_path")))
    response = record.get("response")
    if isinstance(response, int | float) and not isinstance(response, bool):
        response = str(response)
    return {
        "id": record.get("sample_id"),
        "img_list": instance.get("images_path"),
        "instruction": instruction + context + _choices(instance),
        "output": response,
    }


def _choices(instance: Mapping[str, Any]) -> str:
    """Return the choices as the benchmark writes them behind the context."""
    if instance.get("choice_list") is None:
        return ""
    quoted = ", ".join(f"'{choice}'" for choice in items(instance, "choice_list"))
    return f"Choice list:[{quoted}]. Your answer is:"
