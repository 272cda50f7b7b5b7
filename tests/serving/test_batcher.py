"""The model's thread: what shares a batch, what goes alone, and what an error or a client that left does to others."""

import queue
import threading
from types import SimpleNamespace

import pytest

from lavis_sam.models.decoding import Decoding
from lavis_sam.serving import batcher as module
from lavis_sam.serving.answers import Answer
from lavis_sam.serving.batcher import Batcher, Job

GREEDY, BEAMS = Decoding(num_beams=1), Decoding()
SAMPLED = Decoding(num_beams=1, use_nucleus_sampling=True)


def job(name, decoding=GREEDY, *, is_streamed=False):
    events = queue.Queue()
    made = Job(SimpleNamespace(name=name, decoding=decoding), events.put, is_streamed)
    made.events = events
    return made


def heard(made):
    return made.events.get(timeout=30)


@pytest.fixture
def batches(monkeypatch):
    """Answer with each job's name; the names of every batch, and the lock that holds the model."""
    found = SimpleNamespace(names=[], free=threading.Event(), begun=threading.Event())
    found.free.set()

    def answer(model, asked):
        found.begun.set()
        assert found.free.wait(30)
        found.names.append([one.name for one in asked])
        if any(one.name == "bad" for one in asked):
            raise RuntimeError("bad")
        return [[Answer(one.name, "stop", 1)] for one in asked]

    def stream(model, asked):
        yield from asked.name
        if asked.name == "bad":
            raise RuntimeError("bad")
        return Answer(asked.name, "stop", 1)

    monkeypatch.setattr(module, "answer", answer)
    monkeypatch.setattr(module, "stream", stream)
    return found


def run(batches, jobs, **settings):
    """Let a first job occupy the model until all others wait."""
    batches.free.clear()
    batcher = Batcher(None, **settings)
    batcher.submit(job("first"))
    assert batches.begun.wait(30)
    for one in jobs:
        batcher.submit(one)
    assert batcher.waiting == len(jobs)
    batches.free.set()
    batcher.close()
    assert batches.names.pop(0) == ["first"]


def test_batcher_joins_what_is_decoded_alike(batches):
    jobs = [job("a"), job("b", BEAMS), job("c"), job("d", BEAMS), job("e"), job("f")]
    run(batches, jobs, batch_size=3)
    assert batches.names == [["a", "c", "e"], ["b", "d"], ["f"]]
    assert [heard(one)[0].text for one in jobs] == list("abcdef")


def test_batcher_sampled_texts_go_alone(batches):
    run(batches, [job("a", SAMPLED), job("b", SAMPLED)])
    assert batches.names == [["a"], ["b"]]


def test_batcher_an_error_hurts_its_own_job_alone(batches):
    jobs = [job("a"), job("bad"), job("c")]
    run(batches, jobs)
    assert batches.names == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert isinstance(heard(jobs[1]), RuntimeError)
    assert [heard(jobs[place])[0].text for place in (0, 2)] == ["a", "c"]


def test_batcher_counts_each_request_once(batches):
    sizes = []
    run(batches, [job("a"), job("bad"), job("c"), job("d", BEAMS), job("e", BEAMS)], on_batch=sizes.append)
    assert sizes == [1, 1, 1, 1, 2]


def test_batcher_drops_jobs_that_nobody_waits_for(batches):
    jobs = [job("a"), job("b")]
    jobs[0].is_cancelled.set()
    run(batches, jobs)
    assert batches.names == [["b"]]
    assert jobs[0].events.empty()


def test_batcher_streams_in_turns_beside_batches(batches):
    jobs = [job("abc", is_streamed=True), job("bad", is_streamed=True), job("whole")]
    run(batches, jobs, batch_size=2)
    assert [heard(jobs[0]) for _ in range(3)] == ["a", "b", "c"]
    assert heard(jobs[0]) == [Answer("abc", "stop", 1)]
    assert [heard(jobs[1]) for _ in range(3)] == ["b", "a", "d"]
    assert isinstance(heard(jobs[1]), RuntimeError)
    assert heard(jobs[2])[0].text == "whole"


def test_batcher_says_its_batches_and_whether_it_lives(batches):
    sizes = []
    batcher = Batcher(None, on_batch=sizes.append)
    assert batcher.is_alive()
    one = job("a")
    batcher.submit(one)
    heard(one)
    batcher.close()
    assert not batcher.is_alive()
    assert sizes == [1]
