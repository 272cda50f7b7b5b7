"""Everything in this process: for tests, debuggers and profilers."""

from collections.abc import Callable, Iterable

from lavis_sam.synthesis.runners import Job, PartTask, Progress


class SerialRunner:
    """One part after the other; a crash ends the run."""

    def run(self, job: Job, tasks: Iterable[PartTask], on_event: Callable[[Progress], None]) -> None:
        """See `Runner.run`."""
        make = None
        for task in tasks:
            make = make or job.prepare()
            make(task, lambda event: on_event(event) if isinstance(event, Progress) else None)
