"""The loop over batches: every sample once, problems named, nothing answered lost."""

import pytest
from rich.console import Console

from helpers.dummies import DummyDataset
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.generation_loop import generate_records
from lavis_sam.signals import RunStopped, StopRequest


class Recorder:
    """Answers with the sample's name; remembers what it was asked; does something at the n-th batch."""

    def __init__(self, at=None, do=None):
        self.asked, self.batches, self.at, self.do = [], 0, at, do

    def __call__(self, content):
        self.batches += 1
        if self.batches == self.at:
            self.do()
        self.asked += content["sample_id"]
        return [{"sample_id": n, "pred_response": f"to {n}", "gt_response": "g"} for n in content["sample_id"]]


def loader(length=7, batch_size=2):
    return EvaluationLoader(DummyDataset(length), batch_size)


def fail(error):
    raise error


def test_records_come_in_the_order_of_the_data_set(tmp_path):
    answer = Recorder()
    records = generate_records(loader(), answer, folder=tmp_path)
    assert [(r["index"], r["sample_id"]) for r in records] == [(i, f"s{i}") for i in range(7)]
    assert sorted(answer.asked) == [f"s{i}" for i in range(7)]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(generate_records(loader(), Recorder())) == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (SamDataError("sample 's2': odd"), SamDataError, "sample 's2': odd"),
        (KeyError("a defect"), KeyError, "a defect"),
    ],
)
def test_an_error_names_the_sample_and_loses_nothing(tmp_path, error, kind, message):
    with pytest.raises(kind, match=message):
        generate_records(loader(), Recorder(2, lambda: fail(error)), folder=tmp_path)
    again = Recorder()
    records = generate_records(loader(), again, folder=tmp_path)
    assert [r["pred_response"] for r in records] == [f"to s{i}" for i in range(7)]
    assert sorted(again.asked) == [f"s{i}" for i in range(2, 7)]


class Small(Recorder):
    """Memory for so many samples at once."""

    def __init__(self, most, error=None):
        super().__init__()
        self.most, self.error, self.sizes = most, error or MemoryError("no more"), []

    def __call__(self, content):
        self.sizes.append(len(content["sample_id"]))
        return fail(self.error) if self.sizes[-1] > self.most else super().__call__(content)


@pytest.mark.parametrize("error", [MemoryError("no more"), RuntimeError("CUDA out of memory. Tried")])
def test_a_batch_without_memory_is_answered_in_halves_and_so_are_later_ones(tmp_path, caplog, error):
    answer = Small(2, error)
    records = generate_records(loader(11, 8), answer, folder=tmp_path)
    assert [r["pred_response"] for r in records] == [f"to s{i}" for i in range(11)]
    assert sorted(answer.asked) == sorted(f"s{i}" for i in range(11))
    assert answer.sizes == [8, 4, 2, 2, 2, 2, 3, 2, 1]  # 4 fail once, 3 had not been tried
    assert caplog.text.count("out of memory with") == 3
    assert f"out of memory with 8 samples together ({error})" in caplog.text


@pytest.mark.parametrize("error", [MemoryError("no more"), RuntimeError("CUDA out of memory. Tried")])
def test_a_sample_that_memory_is_too_small_for_is_named_and_nothing_is_lost(tmp_path, error):
    answer = Recorder()
    with pytest.raises(SamConfigurationError, match=r"out of memory while answering sample 2 .*decoding\.max_length"):
        generate_records(loader(), lambda c: fail(error) if "s2" in c["sample_id"] else answer(c), folder=tmp_path)
    again = Recorder()
    records = generate_records(loader(), again, folder=tmp_path)
    assert [r["pred_response"] for r in records] == [f"to s{i}" for i in range(7)]
    assert sorted(again.asked) == [f"s{i}" for i in range(2, 7)]


def test_a_sample_that_cannot_be_loaded_again_is_an_error(tmp_path):
    class Once(DummyDataset):
        read = 0

        def __getitem__(self, index):
            self.read += 1
            return fail(SamDataError("gone")) if self.read > 4 else super().__getitem__(index)

    with pytest.raises(SamDataError, match="gone"):
        generate_records(EvaluationLoader(Once(4), 4), Small(2), folder=tmp_path)


def test_a_damaged_image_loses_nothing(tmp_path):
    class Broken(DummyDataset):
        def __getitem__(self, index):
            return fail(SamDataError("x.png: cut off")) if index == 4 else super().__getitem__(index)

    with pytest.raises(SamDataError, match=r"sample 4 of the data set: x\.png: cut off"):
        generate_records(EvaluationLoader(Broken(7), 2), Recorder(), folder=tmp_path)
    again = Recorder()
    generate_records(loader(), again, folder=tmp_path)
    assert sorted(again.asked) == ["s4", "s5", "s6"]


def test_a_wish_to_stop_ends_after_the_batch_and_continues(tmp_path):
    stop = StopRequest()
    answer = Recorder(2, lambda: setattr(stop, "name", "SIGTERM"))
    with pytest.raises(RunStopped):
        generate_records(loader(), answer, folder=tmp_path, stop=stop)
    assert answer.asked == ["s0", "s1", "s2", "s3"]
    again = Recorder()
    assert len(generate_records(loader(batch_size=3), again, folder=tmp_path, stop=StopRequest())) == 7
    assert again.asked == ["s4", "s5", "s6"]


def test_too_few_answers_are_refused(tmp_path):
    with pytest.raises(SamConfigurationError, match=r"sample 0 .*found 1 answers to 2 samples"):
        generate_records(loader(), lambda content: Recorder()(content)[:1], folder=tmp_path)


def test_an_empty_data_set_has_no_answers(tmp_path):
    assert generate_records(loader(0), Recorder(), folder=tmp_path) == []


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown(tmp_path, caplog, terminal):
    caplog.set_level("INFO")
    console = Console(force_terminal=terminal, file=open(tmp_path / "screen", "w+"), width=100)  # noqa: SIM115
    generate_records(loader(), Recorder(), title="mine", console=console)
    console.file.seek(0)
    screen = console.file.read()
    console.file.close()
    assert ("mine" in screen) == terminal
    assert ("7 of 7" in screen) == terminal
    assert "mine: 7 of 7 samples answered" in caplog.text
