"""A whole run: from a configuration and a number to a folder that holds a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lavis_sam import __version__
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.dataset_writer import SampleStore, finish
from lavis_sam.synthesis.live_progress import RunProgress
from lavis_sam.synthesis.registry import PipelineBuilder
from lavis_sam.synthesis.runners import PartTask, Runner
from lavis_sam.synthesis.seeds import even_share
from lavis_sam.synthesis.work_folder import WorkFolder
from lavis_sam.synthesis.worker import PartJob


def synthesize(
    settings: SynthesisSettings,
    root: Path,
    *,
    num: int,
    seed: int,
    runner: Runner,
    resume: bool = False,
    progress: RunProgress | None = None,
) -> dict[str, Any]:
    """Make a data set, or go on with one.

    What comes out depends on `settings`, `num` and `seed` alone: not on the runner, its workers, or how often the
    run was killed and resumed.

    Args:
        seed: Any integer from 0.
        resume: Go on with what `root` holds.

    Returns:
        The manifest.

    Raises:
        SamConfigurationError: A backend cannot work, or `root` holds something else.
        OSError: The disk is full or gone. Finished parts stay, and `resume` continues.
    """
    if num < 1 or seed < 0:
        raise SamConfigurationError(
            f"found num {num} and seed {seed}, wanted num of at least 1 and seed of at least 0."
        )
    progress = progress or RunProgress(num, active=False)
    folder = WorkFolder(root)
    builder = PipelineBuilder(settings)
    identity = run_identity(settings, builder, num, seed)
    with folder.opened(identity, resume=resume):
        if not folder.is_finished:
            store = SampleStore(folder, settings, kinds_of_slots(settings, num, seed))
            job = PartJob(settings, root.absolute(), seed)
            with progress:
                _make(store, settings, runner, job, progress)
                progress.say("writing annotations and shards")
                finish(folder, settings, store, identity, builder.source_records())
        folder.remove_work()
    return folder.manifest()


def run_identity(settings: SynthesisSettings, builder: PipelineBuilder, num: int, seed: int) -> dict[str, Any]:
    """Return what a run that continues has to have in common with the one before."""
    return {
        "version": __version__,
        "num": num,
        "seed": seed,
        "settings": settings.as_dict(),
        "backends": builder.versions(),
    }


def kinds_of_slots(settings: SynthesisSettings, num: int, seed: int) -> list[str]:
    """Return the kind of each place: in proportion to the weights, in any stretch of the data set."""
    kinds = [kind for kind, weight in settings.kinds.items() if weight > 0]
    total = sum(settings.kinds[kind] for kind in kinds)
    return [_at(even_share(slot, seed) * total, kinds, settings) for slot in range(num)]


def _at(point: float, kinds: Sequence[str], settings: SynthesisSettings) -> str:
    for kind in kinds:
        point -= settings.kinds[kind]
        if point < 0:
            return kind
    return kinds[-1]


def _make(store: SampleStore, settings: SynthesisSettings, runner: Runner, job: PartJob, progress: RunProgress) -> None:
    """Do all rounds: the first fills every place, the others replace near duplicates."""
    tasks = store.first_tasks()
    for round_ in range(1, settings.run.rounds + 1):
        make_missing(store, tasks, runner, job, progress)
        if round_ > 1:
            store.take_in(tasks)
        tasks = store.replacements(round_)
        if not tasks:
            return
        progress.replace(sum(len(task.slots) for task in tasks))


def make_missing(
    store: SampleStore, tasks: list[PartTask], runner: Runner, job: PartJob, progress: RunProgress
) -> None:
    """Have those of the parts made that are not finished yet."""
    missing = store.missing(tasks)
    unfinished = {task.key for task in missing}
    progress.found(store.finished_in([task for task in tasks if task.key not in unfinished]))
    if missing:
        runner.run(job, missing, progress.watch)
