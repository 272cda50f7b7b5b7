"""VLMEvalKit has no plugins: enter our model and data sets into its tables, then start it."""

import dataclasses
import importlib.util
import json
import logging
import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import read_json, write_json
from lavis_sam.locks import locked

if TYPE_CHECKING:
    from lavis_sam.predictor import SamPredictor

WAYS = ("text", "likelihood")
MODEL_FILE = "lavis_sam_model.json"
# In tables of the default format an answer such as "=1" is a formula, and JSON is not read back by VLMEvalKit.
FORMAT = "tsv"
_REMEDY = "take another --name, or another --work-dir after the --."


def launch(
    load: Callable[[], "SamPredictor"],
    arguments: Sequence[str],
    *,
    name: str = "lavis_sam",
    choose: str = "text",
    decoding: Mapping[str, Any] | None = None,
) -> list[str]:
    """Run VLMEvalKit's own command with our model.

    Args:
        load: Makes the predictor, when arguments and environment are right.
        arguments: VLMEvalKit's; `--model` is added.
        name: What the model is called there, in names of folders and files too.
        choose: See `VlmevalModel`.
        decoding: Settings of `SamPredictor.caption`.

    Returns:
        What VLMEvalKit said of data sets that failed; it goes on with the next one.

    Raises:
        SamConfigurationError: VLMEvalKit is not installed, an unknown `choose`, arguments or environment variables that
            would ask another model or lose answers, or a folder with answers of another model.
    """
    if choose not in WAYS:
        raise SamConfigurationError(unknown_name("way", choose, WAYS, "--choose"))
    if name in ("", "..") or Path(name).name != name:
        raise SamConfigurationError(f"--name: found {name!r}, wanted a name without / for a folder.")
    _check_environment()
    run = _import_run()
    from vlmeval.config import supported_VLM

    from lavis_sam.evaluators.vlmeval_model import VlmevalModel

    with _command_line("--model", name, *arguments):
        folder = Path(os.environ.get("MMEVAL_ROOT", _checked(run.parse_args(), name).work_dir)) / name
        predictor = load()
        supported_VLM[name] = partial(VlmevalModel, predictor, choose, decoding or {})
        with locked(folder, _REMEDY), _errors_of(run.logger) as errors:
            _check_same_model(folder / MODEL_FILE, predictor, choose, decoding or {})
            run.main()
    return errors


def _check_environment() -> None:
    if (size := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise SamConfigurationError(
            f"WORLD_SIZE is {size}; the model answers in one process: start it without torchrun."
        )
    root = os.environ.get("LMUData")  # noqa: SIM112 - VLMEvalKit's name for it
    if root is not None and not Path(root).is_dir():  # VLMEvalKit would take another one and say nothing
        raise SamConfigurationError(f"LMUData: found {root!r}, wanted a folder that exists, for data sets.")
    if os.environ.setdefault("PRED_FORMAT", FORMAT) != FORMAT:
        raise SamConfigurationError(f"PRED_FORMAT: found {os.environ['PRED_FORMAT']!r}, wanted {FORMAT} or nothing.")


def _import_run() -> Any:
    """Return `vlmeval.run`, our data sets known to it."""
    if importlib.util.find_spec("vlmeval") is None:
        raise SamConfigurationError(
            "vlmeval needs VLMEvalKit, which is not installed; `make setup-vlmeval` makes an environment with it, "
            ".venv-vlmeval, and docs/evaluators.md has the commands."
        )
    certificates = ssl._create_default_https_context
    try:
        import vlmeval.run
        from vlmeval import dataset, inference
    finally:  # importing vlmeval turns the checking of certificates off, for the whole process
        ssl._create_default_https_context = certificates
    from lavis_sam.evaluators.vlmeval_dataset import ExportedDataset, exact_load

    if ExportedDataset not in dataset.DATASET_CLASSES:
        dataset.DATASET_CLASSES.insert(0, ExportedDataset)
        inference.load = exact_load(inference.load)
    return vlmeval.run


def _checked(arguments: Any, name: str) -> Any:
    """Return VLMEvalKit's arguments, if it is our model that they ask."""
    for given, option in (
        (arguments.model != [name], "--model"),
        (arguments.config, "--config"),
        (arguments.base_url, "--base-url"),
        (arguments.api_mode, "--api-mode"),
    ):
        if given:
            raise SamConfigurationError(
                f"{option}: found behind the --, where it would ask another model; the options of ours stand before it."
            )
    if not arguments.data:
        raise SamConfigurationError("--data: missing, wanted names of data sets behind the --, as in -- --data BLINK.")
    return arguments


def _check_same_model(file: Path, predictor: "SamPredictor", choose: str, decoding: Mapping[str, Any]) -> None:
    """Write what answers depend on, or refuse a folder where it was something else: VLMEvalKit keeps its answers."""
    from lavis_sam.evaluation.fingerprint import differences, weights_fingerprint

    model = predictor.model
    now = {"weights": weights_fingerprint(model), "guidance": dataclasses.asdict(model.guidance), "choose": choose}
    now = json.loads(json.dumps({**now, "decoding": dict(decoding)}))
    then = read_json(file, remedy=_REMEDY.capitalize(), wanted=dict) if file.exists() else now
    if changed := differences(then, now):
        raise SamConfigurationError(
            f"{file.parent}: holds answers of another model, or of other settings ({'; '.join(changed)}); {_REMEDY}"
        )
    write_json(file, now)


@contextmanager
def _command_line(*arguments: str) -> Iterator[None]:
    """Let `sys.argv` be that of VLMEvalKit's own command."""
    before = sys.argv
    sys.argv = ["vlmeval", *arguments]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _errors_of(logger: logging.Logger) -> Iterator[list[str]]:
    """Gather what a logger says of errors: VLMEvalKit ends with exit code 0 whatever happened."""
    errors: list[str] = []

    class Gathering(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(record.getMessage())

    handler = Gathering(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield errors
    finally:
        logger.removeHandler(handler)
