"""How fast MmLINK is made: seconds a sample in each stage, and samples a second with 1 and 2 workers.

    python benchmarks/synthesis.py --num 40 --out output/benchmarks/synthesis.json

The stages are timed in one process, on the same tries that the runs make; the runs are whole ones, from an empty folder
to the manifest, started one after the other on the same samples. Absolute times mean little on a shared machine; the
scaling is the ratio of two runs that share everything but the number of workers.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections import Counter
from pathlib import Path

from lavis_sam.files import write_json
from lavis_sam.synthesis.assembly import Assembly
from lavis_sam.synthesis.records import Attempt, Draft
from lavis_sam.synthesis.run import kinds_of_slots, synthesize
from lavis_sam.synthesis.runners.local import LocalRunner
from lavis_sam.synthesis.settings import SynthesisSettings, read_config


def time_stages(settings: SynthesisSettings, num: int, seed: int) -> dict[str, dict[str, float]]:
    """Seconds and drafts of every stage, by kind, for the first try of each place."""
    pipeline = Assembly(settings).pipeline()
    kinds = kinds_of_slots(settings, num, seed)
    # The first call loads weights and scenes; it is no part of the speed.
    pipeline.run([Attempt(seed + 1, slot, 0, kind) for slot, kind in enumerate(dict.fromkeys(kinds))])
    seconds: Counter[str] = Counter()
    drafts: Counter[str] = Counter()
    accepted = 0
    for kind in sorted(set(kinds)):
        last = time.perf_counter()

        def watch(stage, passed, rejected, kind=kind):
            nonlocal last
            now = time.perf_counter()
            seconds[f"{kind} {stage}"] += now - last
            drafts[f"{kind} {stage}"] += passed + rejected
            last = now

        attempts = [Attempt(seed, slot, 0, own) for slot, own in enumerate(kinds) if own == kind]
        accepted += sum(isinstance(result, Draft) for result in pipeline.run(attempts, watch))
    stages = {
        name: {"seconds": seconds[name], "drafts": drafts[name], "drafts_per_second": drafts[name] / seconds[name]}
        for name in seconds
        if drafts[name] and seconds[name] > 0
    }
    return {"stages": stages, "accepted_share": accepted / num}


def time_run(settings: SynthesisSettings, num: int, seed: int, workers: int) -> float:
    """Seconds of a whole run."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        synthesize(settings, Path(folder) / "set", num=num, seed=seed, runner=LocalRunner(workers))
        return time.perf_counter() - began


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
    report["runs"] = {
        str(workers): {"seconds": seconds, "samples_per_second": arguments.num / seconds}
        for workers, seconds in times.items()
    }
    report["scaling"] = {str(workers): times[arguments.workers[0]] / seconds for workers, seconds in times.items()}
    print(json.dumps(report, indent=2))
    if arguments.out:
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
