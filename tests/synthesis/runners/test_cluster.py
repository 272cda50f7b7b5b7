"""The runner on Ray: what it refuses without a cluster, and whole runs on a small one."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.synthesis import config, folder_digest
from helpers.synthesis_runs import SPOILED, make
from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.configuration import SynthesisSettings
from lavis_sam.synthesis.runners import PartTask, cluster
from lavis_sam.synthesis.runners.cluster import RayRunner
from lavis_sam.synthesis.runners.local import LocalRunner
from lavis_sam.synthesis.worker import PartJob


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(SamConfigurationError, match=r"pip install 'lavis_sam\[ray\]'"):
        RayRunner()


@pytest.mark.parametrize("numbers", [{"workers": 0}, {"cpus": 0}, {"gpus": -1}])
def test_odd_numbers_are_refused(numbers):
    with pytest.raises(SamConfigurationError, match="wanted at least 1, more than 0, at least 0"):
        RayRunner(**numbers)


@pytest.fixture(scope="module")
def ray():
    """Ray on this machine with two processors."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers import helpers, as this process does
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
        yield ray
        ray.shutdown()


@pytest.mark.integration
def test_ray_makes_the_bytes_of_one_process(ray, finished, tmp_path):
    make(tmp_path / "set", SPOILED, runner=RayRunner())
    assert folder_digest(tmp_path / "set") == folder_digest(finished)


@dataclass
class KilledOnce:
    """A job whose first worker is killed in the middle of its part."""

    job: Any
    marker: Path

    def prepare(self):
        make = self.job.prepare()

        def part(task, emit):
            def emit_and_die(event):
                emit(event)
                if not self.marker.exists():
                    self.marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

            make(task, emit_and_die)

        return part


@pytest.mark.integration
def test_a_worker_killed_in_the_middle_costs_time_only(ray, finished, tmp_path):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test

    class Runner(RayRunner):
        def run(self, job, tasks, on_event):
            super().run(KilledOnce(job, tmp_path / "killed"), tasks, on_event)

    make(tmp_path / "set", SPOILED, runner=Runner())
    assert (tmp_path / "killed").exists()
    assert folder_digest(tmp_path / "set") == folder_digest(finished)


@pytest.mark.integration
def test_a_try_that_kills_workers_is_rejected_as_the_local_runner_does(ray, tmp_path):
    fatal = config(sources={"characters": {"backend": "helpers.synthesis:FakeShapes", "spoil": "kill", "every": 9}})
    make(tmp_path / "local", fatal, runner=LocalRunner(1), num=6)
    make(tmp_path / "ray", fatal, runner=RayRunner(), num=6)
    assert '"crashed"' in (tmp_path / "ray" / "rejections.jsonl").read_text()
    assert folder_digest(tmp_path / "ray") == folder_digest(tmp_path / "local")


@pytest.mark.integration
def test_more_than_the_cluster_has_is_refused(ray):
    with pytest.raises(SamConfigurationError, match=r"wants CPU 1, GPU 0.5; the Ray cluster has CPU 2, GPU 0"):
        RayRunner(gpus=0.5).run(None, [], print)
    with pytest.raises(SamConfigurationError, match="wants CPU 3; the Ray cluster has CPU 2"):
        RayRunner(cpus=3).run(None, [], print)


@pytest.mark.integration
def test_a_machine_that_does_not_see_the_folder_says_so(ray, tmp_path):
    job = PartJob(SynthesisSettings.from_config(config()), tmp_path / "elsewhere", 0)
    with pytest.raises(SamConfigurationError, match=r"elsewhere: .* does not see the run's folder"):
        RayRunner().run(job, [PartTask(0, 0, ((0, 0, "icons"),))], print)


def test_a_machine_that_does_not_see_the_folder_is_named_before_anything_is_built(tmp_path):
    job = PartJob(SynthesisSettings.from_config(config()), tmp_path / "elsewhere", 0)
    with pytest.raises(SamConfigurationError, match=r"elsewhere: .* does not see the run's folder there"):
        job.prepare()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.integration
def test_a_cluster_that_does_not_answer_is_one_clear_error(ray, monkeypatch):
    def refuse(**options):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(SamConfigurationError, match=r"--address: no Ray cluster answers at host:6379 \(nobody there\)"):
        cluster._connect("host:6379")
