"""Stages with actors of their own: how they are asked for, the answers of one process, and a machine that is lost."""

import os
import pickle
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from helpers.synthesis import config, folder_digest
from helpers.synthesis_runs import SPOILED, make, settings
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.runners import PartTask, model_actors
from lavis_sam.synthesis.runners.cluster import RayRunner
from lavis_sam.synthesis.runners.local import LocalRunner
from lavis_sam.synthesis.runners.model_actors import StageActors, answer, read_actors, unpacked
from lavis_sam.synthesis.stages.base import answer_all
from lavis_sam.synthesis.worker import PartJob

FAKE_GPUS = (StageActors("segment", 2, 0.25), StageActors("inpaint", 1, 0.5))


def test_actors_are_read_with_their_count_and_share_of_a_gpu():
    found = read_actors("segment, inpaint=2x1,score=0.1")
    assert found == (StageActors("segment", 1, 0.25), StageActors("inpaint", 2, 1.0), StageActors("score", 1, 0.1))
    assert read_actors("inpaint")[0].gpus == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("paint=1", "unknown stage 'paint'"),
        ("inpaint=0x1", "found 'inpaint=0x1', wanted STAGE"),
        ("inpaint=many", "found 'inpaint=many'"),
        ("", "found '', wanted STAGE"),
        ("inpaint=1.5", "inpaint: found 1.5 GPUs, wanted a part of one, or whole ones"),
        ("inpaint,inpaint=1", "inpaint is named twice"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(SamConfigurationError, match=message):
        read_actors(text)


@dataclass
class Request:
    """As a stage's requests are."""

    rng: np.random.Generator
    number: int
    image: np.ndarray


class Drawing:
    """Draws before it answers; one of its requests makes it raise when it is asked with others."""

    def __init__(self, error):
        self.error, self.shown = error, []

    def write(self, requests):
        drawn = [int(request.rng.integers(1000)) for request in requests]
        for request in requests:
            request.image[:] = 1  # may be written into, as in one process
            if request.number == 2:
                raise self.error
        return drawn


@pytest.mark.parametrize("error", [SamDataError("no place"), pickle.PicklingError("odd"), OSError(28, "full")])
def test_a_batch_that_raises_is_repeated_with_the_same_draws_as_in_one_process(error):
    def requests():
        return [Request(np.random.default_rng(number), number, np.zeros(3)) for number in range(4)]

    def elsewhere(asked):
        return unpacked(answer(Drawing(error), "write", pickle.dumps(asked)), asked)

    here = answer_all(Drawing(error).write, requests())
    assert here[2].reason == type(error).__name__
    assert answer_all(elsewhere, requests()) == here


def test_an_error_that_cannot_be_sent_comes_back_by_its_name():
    class OddError(Exception):
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")

    (found,) = answer_all(lambda asked: unpacked(answer(Drawing(OddError(1, 2)), "write", pickle.dumps(asked)), asked),
                          [Request(np.random.default_rng(0), 2, np.zeros(1))])  # fmt: skip
    assert (found.reason, found.message) == ("OddError", "1 and 2")


@pytest.mark.parametrize("error", [SamConfigurationError("no package"), MemoryError("none left")])
def test_what_ends_a_run_in_one_process_ends_it_elsewhere(error):
    asked = [Request(np.random.default_rng(0), 2, np.zeros(1))]
    with pytest.raises(type(error), match=str(error)):
        answer_all(lambda asked: unpacked(answer(Drawing(error), "write", pickle.dumps(asked)), asked), asked)


def test_a_workers_stages_ask_elsewhere_and_only_those(tmp_path):
    (tmp_path / "work").mkdir()
    job, asked = PartJob(settings(), tmp_path, 0), []
    backends = {stage: job.backend(stage) for stage in ("segment", "inpaint")}

    def ask_for(stage):
        def ask(version, method, requests):
            asked.append((stage, version, method, len(requests)))
            return getattr(backends[stage], method)(requests)

        return ask

    make_part = job.prepare({stage: ask_for(stage) for stage in backends})
    make_part(PartTask(0, 0, ((0, 0, "characters"), (1, 0, "furniture"))), lambda event: None)
    # Two objects in each of two images; a background in each. A batch is a part, whatever it holds.
    assert asked[:2] == [("segment", "1", "segment", 8), ("inpaint", "1", "inpaint", 4)]
    assert job.backend("score") is None


@pytest.fixture(scope="module")
def cluster():
    """Three machines in one: the driver's without a GPU, and two with one each (Ray counts them; nobody uses them)."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers import helpers, as this process does
        patch.setenv("RAY_health_check_initial_delay_ms", "0")
        patch.setenv("RAY_health_check_period_ms", "500")
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
        for _ in range(2):
            found.add_node(num_cpus=1, num_gpus=1, object_store_memory=100_000_000)
        ray.init(found.address, log_to_driver=False)
        yield found
        ray.shutdown()
        found.shutdown()


@pytest.mark.integration
def test_more_gpus_than_the_cluster_has_are_refused(cluster):
    with pytest.raises(SamConfigurationError, match=r"--actors: they want GPU 3; the Ray cluster has GPU 2"):
        RayRunner(actors=read_actors("inpaint=3x1")).run(None, [], print)


@pytest.mark.integration
def test_a_stage_that_does_nothing_needs_no_actor(cluster, tmp_path):
    (tmp_path / "work").mkdir()
    with pytest.raises(SamConfigurationError, match=r"--actors: score: stages\.score does nothing"):
        RayRunner(actors=read_actors("score")).run(PartJob(settings(), tmp_path, 0), [], print)


@pytest.fixture
def painter(monkeypatch):
    """Fills with the handle of the actor that paints, when it is there."""
    handles = []

    def start(*arguments):
        askers = model_actors.start_models(*arguments)
        handles.extend(askers["inpaint"].actors)
        return askers

    monkeypatch.setattr("lavis_sam.synthesis.runners.cluster.start_models", start)
    return handles


@pytest.mark.integration
def test_a_model_that_dies_over_a_try_is_a_rejection_as_in_local_workers(cluster, tmp_path):
    """The try that kills it is found among those of other workers, which are answered by the next one."""
    fatal = config(
        kinds={"characters": 1}, stages={"inpaint": {"backend": "helpers.synthesis:FatalInpainter", "every": 9}}
    )
    make(tmp_path / "local", fatal, runner=LocalRunner(1), num=3)
    make(tmp_path / "ray", fatal, runner=RayRunner(actors=read_actors("inpaint=2x0.5")), num=3)
    assert '"crashed"' in (tmp_path / "ray" / "rejections.jsonl").read_text()
    assert folder_digest(tmp_path / "ray") == folder_digest(tmp_path / "local")


@pytest.mark.integration
def test_a_machine_lost_in_the_middle_costs_time_only(cluster, painter, finished, tmp_path):
    """The machine that paints goes, with its workers; the other one has room for what was there."""
    import ray

    lost, later = [], set()

    def place():
        return ray._private.state.actors(painter[0]._actor_id.hex())["Address"]["NodeID"]

    class Runner(RayRunner):
        def run(self, job, tasks, on_event):
            def lose(event):
                on_event(event)
                if not lost:
                    lost.extend(machine for machine in cluster.worker_nodes if machine.node_id == place())
                    cluster.remove_node(lost[0], allow_graceful=False)
                elif len(painter) == 1:  # the first round's
                    later.add(place())

            super().run(job, tasks, lose)

    make(tmp_path / "set", SPOILED, runner=Runner(actors=FAKE_GPUS))
    assert len(lost) == 1
    assert {machine.node_id for machine in cluster.worker_nodes} & later, "it painted on the other machine"
    assert folder_digest(tmp_path / "set") == folder_digest(finished)
