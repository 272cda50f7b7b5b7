"""How fast MmLINK is made: seconds a sample in each stage, and samples a second with 1 and 2 workers.

    python benchmarks/synthesis.py --num 40 --out benchmarks/results/synthesis_cpu.json

The stages are timed in one process, on the same tries that the runs make; the runs are whole ones, from an empty folder
to the manifest, started one after the other on the same samples. Absolute times mean little on a shared machine, so the
seconds of processor time stand beside them, which other people's work hardly changes; the scaling is the ratio of two
runs that share everything but the number of workers, and `load_before` says how busy the machine was.
"""

import argparse
import dataclasses
import json
import os
import platform
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

from lavis_sam.files import write_json
from lavis_sam.synthesis.configuration import SynthesisSettings, read_config
from lavis_sam.synthesis.records import Attempt, Draft
from lavis_sam.synthesis.registry import PipelineBuilder
from lavis_sam.synthesis.run import kinds_of_slots, synthesize
from lavis_sam.synthesis.runners.local import LocalRunner

# Parts so small that two workers are equally busy until the end.
PART_SIZE = 2


def time_stages(settings: SynthesisSettings, num: int, seed: int) -> dict[str, dict[str, float]]:
    """Seconds and drafts of every stage, by kind, for the first try of each place."""
    pipeline = PipelineBuilder(settings).pipeline()
    kinds = kinds_of_slots(settings, num, seed)
    # The first call loads weights and scenes; it is no part of the speed.
    pipeline.run([Attempt(seed + 1, slot, 0, kind) for slot, kind in enumerate(dict.fromkeys(kinds))])
    seconds: Counter[str] = Counter()
    processor: Counter[str] = Counter()
    drafts: Counter[str] = Counter()
    accepted = 0
    for kind in sorted(set(kinds)):
        last, last_processor = time.perf_counter(), time.process_time()

        def on_stage(stage, passed, rejected, kind=kind):
            nonlocal last, last_processor
            now, now_processor = time.perf_counter(), time.process_time()
            seconds[f"{kind} {stage}"] += now - last
            processor[f"{kind} {stage}"] += now_processor - last_processor
            drafts[f"{kind} {stage}"] += passed + rejected
            last, last_processor = now, now_processor

        attempts = [Attempt(seed, slot, 0, own) for slot, own in enumerate(kinds) if own == kind]
        accepted += sum(isinstance(result, Draft) for result in pipeline.run(attempts, on_stage))
    stages = {
        name: {
            "drafts": drafts[name],
            "seconds": seconds[name],
            "drafts_per_second": drafts[name] / seconds[name],
            "processor_seconds_a_draft": processor[name] / drafts[name],
        }
        for name in seconds
        if drafts[name] and seconds[name] > 0
    }
    return {"stages": stages, "accepted_share": accepted / num}


def time_run(settings: SynthesisSettings, num: int, seed: int, workers: int) -> dict[str, float]:
    """Seconds of a whole run, the start of its workers included."""
    settings = dataclasses.replace(settings, run=dataclasses.replace(settings.run, part_size=PART_SIZE))
    with tempfile.TemporaryDirectory() as folder:
        began, processor = time.perf_counter(), _processor_seconds()
        synthesize(settings, Path(folder) / "set", num=num, seed=seed, runner=LocalRunner(workers))
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "samples_per_second": num / seconds,
        "processor_seconds": _processor_seconds() - processor,
    }


def _processor_seconds() -> float:
    """Of this process and its finished workers."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Time both, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", default="mmlink")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    settings = SynthesisSettings.from_config(read_config(arguments.config), arguments.config)
    report = {
        "config": arguments.config,
        "num": arguments.num,
        "seed": arguments.seed,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        **time_stages(settings, arguments.num, arguments.seed),
    }
    times = {workers: time_run(settings, arguments.num, arguments.seed, workers) for workers in arguments.workers}
    report["runs"] = {str(workers): figures for workers, figures in times.items()}
    first = times[arguments.workers[0]]["seconds"]
    report["scaling"] = {str(workers): first / figures["seconds"] for workers, figures in times.items()}
    print(json.dumps(report, indent=2))
    if arguments.out:
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
