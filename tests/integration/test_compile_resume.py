"""`python -m lavis.train` with run.compile: killed and continued, and continued with and without compiled layers.

Backend `aot_eager`, traced as for machine code and run by PyTorch's own operations: machine code takes minutes, and may
round otherwise where another batch came first. A run that is continued has nothing compiled yet, as a new process.
"""

import functools
from collections.abc import Mapping

import pytest
import torch

from helpers.command_line import TINY
from lavis_sam import train
from lavis_sam.models.compilation import compile_model
from lavis_sam.plugin import runner
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.training.metric_log import read_metric_log

# Four steps of two epochs; the run is killed after its third.
OPTIONS = ["run.max_epoch=2", "run.batch_size_train=9", "run.checkpoint_steps=1", "run.keep_checkpoints=20"]
OPTIONS += ["run.test_splits=[]", "run.num_workers=0", "run.warmup_steps=0", "run.init_lr=1e-3"]

pytestmark = pytest.mark.integration


class KilledError(Exception):
    """What ends a run without a chance to write anything more."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs, each by its job id."""
    folder = tmp_path_factory.mktemp("runs")
    graphs = []

    def backend(module, inputs):
        graphs.append(module)
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    def start(name, *options):
        words = [*OPTIONS, f"run.output_dir={folder}", f"run.job_id={name}", *options]
        assert train.main(["--cfg-path", TINY, "--options", *words]) == 0

    def killed(self, epoch):
        saved(self, epoch)
        if self.progress.step == 3:
            raise KilledError

    saved = RunnerSam._after_step
    with pytest.MonkeyPatch.context() as patch, torch._dynamo.config.patch(), torch._functorch.config.patch():
        patch.setattr(runner, "compile_model", functools.partial(compile_model, backend=backend))
        torch._dynamo.reset()
        start("compiled", "run.compile=true")
        with patch.context() as death:
            death.setattr(RunnerSam, "_after_step", killed)
            with pytest.raises(KilledError):
                start("killed", "run.compile=true")
        torch._dynamo.reset()
        made = len(graphs)
        assert made >= 3
        start("killed", "run.compile=true", "run.resume=auto")
        assert len(graphs) > made
        made = len(graphs)
        start("plain")
        start("then-plain", f"run.resume={folder}/compiled/checkpoint_0.pth")
        assert len(graphs) == made
        start("then-compiled", "run.compile=true", f"run.resume={folder}/plain/checkpoint_0.pth")
        torch._dynamo.reset()
    return folder


def content(path):
    """All that a checkpoint holds but the settings, which name the run, and how long it took."""
    found = torch.load(path, weights_only=True)
    found["progress"]["sums"].pop("seconds", None)
    return {key: value for key, value in found.items() if key != "config"}


def is_same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def losses(folder):
    """The last loss of each step: steps that no checkpoint holds are done again."""
    return {
        event["step"]: event["loss"] for event in read_metric_log(folder / "log.jsonl") if event["event"] == "train"
    }


def test_a_killed_run_continues_to_the_same_files_bit_by_bit(runs):
    (resumed,) = (event for event in read_metric_log(runs / "killed/log.jsonl") if event["event"] == "resumed")
    assert resumed["step"] == 3
    paths = sorted((runs / "compiled").glob("*.pth"))
    assert [path.name for path in paths] == [f"checkpoint_{name}.pth" for name in ("0", "0_step1", "1", "1_step3")]
    for path in paths:
        found, wanted = content(runs / "killed" / path.name), content(path)
        different = [key for key in wanted if not is_same(found[key], wanted[key])]
        assert found.keys() == wanted.keys()
        assert not different, path.name
    assert losses(runs / "killed") == losses(runs / "compiled")
    assert len(losses(runs / "compiled")) == 4


def test_compiled_layers_change_what_a_run_learns_by_rounding_alone(runs):
    compiled, plain = (content(runs / name / "checkpoint_1.pth")["model"] for name in ("compiled", "plain"))
    check_close(compiled, plain)
    first = content(runs / "compiled" / "checkpoint_0_step1.pth")["model"]
    assert any((compiled[name] - first[name]).abs().max() > 1e-4 for name in compiled)


@pytest.mark.parametrize(("name", "whole"), [("then-plain", "compiled"), ("then-compiled", "plain")])
def test_a_checkpoint_continues_with_and_without_compiled_layers(runs, name, whole):
    assert list(losses(runs / name)) == [2, 3]
    wanted = losses(runs / whole)
    assert losses(runs / name) == pytest.approx({step: wanted[step] for step in (2, 3)}, rel=1e-6)
    check_close(*(content(runs / run / "checkpoint_1.pth")["model"] for run in (name, whole)))


def check_close(found, wanted):
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        # The softmax over images does not depend on its bias: that gradient is noise, which AdamW blows up.
        if name != "adaptive_adjustment.linear_a.bias":
            torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6, msg=name)
