"""`lavis-sam baseline`: another model, under the same data, prompts and protocol as SAM."""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lavis_sam.cli import baseline_options as opt
from lavis_sam.cli.model_options import Device, Json, MaxLength, MaxNewTokens, Precision, length_of
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.terminal import echo, log_to_stderr

if TYPE_CHECKING:
    from lavis_sam.baselines.chat import ChatModel
    from lavis_sam.baselines.endpoint import EndpointModel
    from lavis_sam.baselines.q_former import QFormerModel
    from lavis_sam.datasets.multi_image import MultiImageDataset
    from lavis_sam.evaluation.model import ImageTextModel
    from lavis_sam.evaluation.run_folder import Results

CACHE_FOLDER = "answers-of-endpoint"
_BATCHES_A_THREAD = 4
_SHOWN = 5
_SPLIT = "test"


@dataclass(frozen=True)
class AskedSet:
    """A data set that a model is to be asked about.

    Attributes:
        title: The name of its folder in a run.
        prompts: Its prompt set; None where the annotation's own instructions are asked.
    """

    name: str
    title: str
    prompts: Any
    open: "Callable[[], MultiImageDataset]"


def baseline(
    local: opt.Local = None,
    endpoint: opt.Endpoint = None,
    model: opt.Served = None,
    dataset: opt.Dataset = None,
    data: opt.Data = None,
    out: opt.Out = None,
    configs: opt.Configs = Path("projects/sam/eval"),
    protocol: opt.Protocol = "sam",
    device: Device = None,
    precision: Precision = None,
    device_map: opt.DeviceMap = None,
    batch_size: opt.BatchSize = 1,
    num_beams: opt.NumBeams = 5,
    max_new_tokens: MaxNewTokens = None,
    max_length: MaxLength = None,
    repetition_penalty: opt.RepetitionPenalty = 1.5,
    key_variable: opt.KeyVariable = None,
    requests_per_minute: opt.Rate = None,
    concurrency: opt.Concurrency = 4,
    timeout: opt.Timeout = 120.0,
    attempts: opt.Attempts = 6,
    skip_refused: opt.SkipRefused = False,
    max_requests: opt.MaxRequests = 100,
    max_total_tokens: opt.MaxTokens = None,
    max_spending: opt.MaxSpending = None,
    input_price: opt.InputPrice = None,
    output_price: opt.OutputPrice = None,
    max_images: opt.MaxImages = 16,
    image_side: opt.ImageSide = 768,
    image_bytes: opt.ImageBytes = 400_000,
    image_tokens: opt.ImageTokens = None,
    request: opt.Request = None,
    cache: opt.Cache = None,
    dry_run: opt.DryRun = False,
    as_json: Json = False,
) -> None:
    """Evaluate another model on the same data, with the same prompts, scored by the same protocol.

    A local model is an image-text-to-text model of transformers' with a chat template (LLaVA-interleave, Idefics,
    Qwen-VL, …), a BLIP-2 or an InstructBLIP; it decodes the published way. A service is asked once a sample; its
    answers are kept, and what a run may use is checked before anything is sent. The key comes from an environment
    variable and is never written. RUN is like that of `lavis-sam benchmark`, for `lavis-sam table` and `compare`.
    Exit code 0: all is done; 1: interrupted, the same command continues; 2: it cannot be done as asked.

    \b
    Examples:
      lavis-sam baseline models/llava-interleave-qwen-7b-hf --dataset aesop --data /data --out runs/llava
      torchrun --nproc_per_node=4 -m lavis_sam.cli baseline models/instructblip-vicuna-7b --data /data --out runs/ib
      lavis-sam baseline --endpoint https://api.openai.com/v1 --model gpt-4o --dataset vist --data /data \\
        --out runs/gpt-4o --max-requests 1000 --max-spending 5 --input-price 2.5 --output-price 10
      lavis-sam baseline --endpoint http://localhost:8000/v1 --model served --dataset my_set --out runs/qwen
    """
    options = dict(locals())
    options["max_length"] = length_of("max", max_new_tokens, max_length, 256)
    _check(options)
    with contextlib.redirect_stdout(sys.stderr):
        found = _run(options)
    _show(found, options)


def _check(options: dict[str, Any]) -> None:
    """Refuse what does not go together."""
    local, endpoint = options["local"], options["endpoint"]
    if (local is None) == (endpoint is None):
        raise SamConfigurationError(
            f"found model {local!r} and endpoint {endpoint!r}, wanted one of them: NAME_OR_FOLDER or --endpoint URL."
        )
    if (endpoint is None) != (options["model"] is None):
        raise SamConfigurationError("--endpoint and --model go together: the service, and the model's name there.")
    if options["out"] is None:
        raise SamConfigurationError("--out: missing; name the folder of the results, such as runs/llava.")
    if options["dry_run"] and endpoint is None:
        raise SamConfigurationError("--dry-run is for an endpoint; a local model costs nothing but time.")


def _run(options: dict[str, Any]) -> "list[Results] | dict[str, Any]":
    """Evaluate; for a dry run, return what it would cost."""
    from lavis_sam import distributed

    log_to_stderr(logging.INFO)
    launch = distributed.Launch.from_environment()
    if launch.world_size > 1 and options["endpoint"] is not None:
        raise SamConfigurationError(
            f"found {launch.world_size} processes and an endpoint, wanted one process, which keeps rate and budget; "
            "--concurrency asks several questions at a time."
        )
    sets = _asked_sets(options["data"], options["dataset"] or (), configs=options["configs"])
    if options["endpoint"] is None:
        # Alone, a process may have any device; several share the machine's.
        device = options["device"] if launch.world_size == 1 else distributed.choose_device(options["device"] or "auto")
        model: Any = _local_model(options, device)
        with distributed.process_group(launch, model.device):
            return _evaluate(sets, model, options, options["batch_size"])
    model = _endpoint_model(options)
    forecast = _forecast(sets, model, is_plan=options["dry_run"])
    if options["dry_run"]:
        return forecast
    return _evaluate(sets, model, options, options["concurrency"] * _BATCHES_A_THREAD)


def _asked_sets(data: Path | None, names: Sequence[str], *, configs: Path) -> list[AskedSet]:
    """Return the data sets to ask about.

    Args:
        data: The folder of all data sets (None: `LAVIS_SAM_DATA`, else ./data), or one data set in the unified format.
        names: Data sets, tasks or tables of the paper, none for all that are there; other registered data sets; data of
            the user's own, see `own_names`; or the name of the one data set.
        configs: The evaluation configurations of the paper's data sets.

    Raises:
        SamConfigurationError: An unknown name, or not one name for one data set.
        SamDataError: A data set that was named is not there, or none is.
    """
    from lavis_sam.datasets.folder import open_folder
    from lavis_sam.datasets.formats.reading import UNIFIED_FILES
    from lavis_sam.datasets.own_data import own_names, storage_of_test
    from lavis_sam.evaluation.run_folder import folder_name

    if data is not None and (data.is_file() or any((data / file).is_file() for file in UNIFIED_FILES)):
        if len(names) != 1 or Path(names[0]).name != names[0]:
            raise SamConfigurationError(
                f"{data} is one data set; found --dataset {', '.join(names) or 'nowhere'}, wanted one name for it."
            )
        return [AskedSet(names[0], folder_name(names[0]), None, lambda: open_folder(data))]
    known, own = own_names(names)
    storages = {name: storage_of_test(path) for name, path in own.items()}
    asked = [
        AskedSet(name, folder_name(name), None, partial(open_folder, storage)) for name, storage in storages.items()
    ]
    return [*(_of_the_paper(data, known, configs) if known or not own else ()), *asked]


def _of_the_paper(data: Path | None, names: Sequence[str], configs: Path) -> list[AskedSet]:
    from lavis_sam.plugin import benchmark  # imports LAVIS, which the other way does not need

    if data is not None:
        os.environ[benchmark.DATA_VARIABLE] = str(data)
    found = benchmark.find_sets(names, configs=configs)
    present = [one for one in found if not one.missing]
    absent = [f"  {one.entry.title} is {one.how_to_get}" for one in found if one.missing]
    if not present or (names and absent):
        raise SamDataError("\n".join(["wanted data sets that are not there:", *absent, "--data names their folder."]))
    return [AskedSet(one.entry.name, one.entry.title, one.prompt_set, one.dataset) for one in present]


def _local_model(options: dict[str, Any], device: Any) -> "ChatModel | QFormerModel":
    from lavis_sam.baselines.transformers_folder import load_model
    from lavis_sam.models.decoding import Decoding

    decoding = Decoding(**{name: options[name] for name in ("num_beams", "max_length", "repetition_penalty")})
    return load_model(
        options["local"],
        device=device,
        precision=options["precision"],
        decoding=decoding,
        device_map=options["device_map"],
    )


def _endpoint_model(options: dict[str, Any]) -> "EndpointModel":
    from lavis_sam.baselines.budget import Limits
    from lavis_sam.baselines.cache import AnswerCache
    from lavis_sam.baselines.endpoint import EndpointModel, RequestConfig
    from lavis_sam.baselines.jpeg import ImageBounds
    from lavis_sam.baselines.retry import RetryPolicy
    from lavis_sam.baselines.transport import Transport

    config = RequestConfig(
        options["model"],
        max_tokens=options["max_length"] - 1,
        images=ImageBounds(options["image_side"], options["image_bytes"]),
        image_tokens=options["image_tokens"],
        extra=_request_keys(options["request"] or ()),
    )
    limits = Limits(
        requests=options["max_requests"],
        tokens=options["max_total_tokens"],
        spending=options["max_spending"],
        input_price=options["input_price"],
        output_price=options["output_price"],
        images=options["max_images"],
    )
    return EndpointModel(
        Transport(options["endpoint"], key=_key(options["key_variable"]), timeout=options["timeout"]),
        config,
        AnswerCache(options["cache"] or options["out"] / CACHE_FOLDER),
        limits=limits,
        policy=RetryPolicy(attempts=options["attempts"]),
        requests_per_minute=options["requests_per_minute"],
        concurrency=options["concurrency"],
        skip_refused=options["skip_refused"],
    )


def _request_keys(words: "list[str] | tuple[str, ...]") -> dict[str, Any]:
    keys = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            keys[name] = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise SamConfigurationError(
                f"--request {word}: {error}; wanted KEY=JSON, such as seed=1 or stop='[\"\\n\"]'."
            ) from error
    return keys


def _key(variable: str | None) -> str | None:
    key = os.environ.get(variable or opt.DEFAULT_KEY_VARIABLE, "").strip()
    if variable is not None and not key:
        raise SamConfigurationError(f"--api-key-env {variable}: the environment has no such variable, or an empty one.")
    return key or None


def _forecast(sets: "list[AskedSet]", model: "EndpointModel", *, is_plan: bool) -> dict[str, Any]:
    """Say what it costs at most, and refuse what is over a limit unless it is only planned."""
    from lavis_sam.baselines.budget import Cost

    cost = sum((model.forecast(one.open()) for one in sets), Cost())
    price = model.budget.limits.price(cost)
    money = f", {price:,.2f} of money" if price is not None else ""
    echo(
        f"at most {cost.requests:,} requests, {cost.input_tokens:,} input tokens and {cost.output_tokens:,} output "
        f"tokens{money}",
        err=True,
    )
    if not is_plan:
        model.budget.check(cost, "Asking about all samples")
    return {**vars(cost), "price": price}


def _evaluate(
    sets: "list[AskedSet]", model: "ImageTextModel", options: dict[str, Any], batch_size: int
) -> "list[Results]":
    from lavis_sam import distributed
    from lavis_sam.evaluation.evaluate import evaluate
    from lavis_sam.evaluation.run_folder import check_one_model
    from lavis_sam.signals import RunStopped, StopRequest

    out, protocol = options["out"], options["protocol"]
    described = model.describe()
    found = []
    # Two processes that answer the same samples would pay twice.
    with distributed.locked_by_main(out, "or give another --out."), StopRequest() as stop:
        check_one_model(out, described["weights"], described["decoding"], protocol)
        try:
            for one in sets:
                results = evaluate(
                    one.open(),
                    model,
                    out / one.title,
                    name=one.name,
                    split=_SPLIT,
                    prompts=one.prompts,
                    batch_size=batch_size,
                    protocol=protocol,
                    stop=stop,
                )
                if results is not None:
                    found.append(results)
        except RunStopped:
            echo(f"stopped by {stop.name or 'a signal'}; the same command continues", err=True)
            raise typer.Exit(1) from None
    return found


def _show(found: "list[Results] | dict[str, Any]", options: dict[str, Any]) -> None:
    from lavis_sam.cli.score_tables import print_scores
    from lavis_sam.files import to_json

    out, protocol = options["out"], options["protocol"]
    if not isinstance(found, dict):
        _report_refused(found)
    if isinstance(found, dict):
        echo(to_json(found) if options["as_json"] else "nothing was sent")
    elif options["as_json"] and found:
        sets = [
            {"dataset": one.dataset, "count": one.count, "corpus": dict(one.corpus), "refused": len(one.refused)}
            for one in found
        ]
        echo(to_json({"run": str(out), "protocol": protocol, "sets": sets}))
    elif found:  # otherwise another process shows it
        print_scores(protocol, ((one.title, one.count, one.corpus) for one in found))
        echo(f"Results are in {out}; beside the paper's: lavis-sam table {out}")


def _report_refused(found: "list[Results]") -> None:
    """Say which samples the service refused, of this run and of what it continues."""
    for one in found:
        if one.refused:
            names = ", ".join(repr(entry.get("sample_id")) for entry in one.refused[:_SHOWN])
            more = f" and {len(one.refused) - _SHOWN} more" if len(one.refused) > _SHOWN else ""
            echo(
                f"WARNING: {one.title}: the service refused {len(one.refused)} of {one.count} samples ({names}{more}), "
                "which count as empty answers and score 0. The manifest holds the reasons.",
                err=True,
            )
