"""Defects of LAVIS 1.0.2 in processes, loaders and configuration: each is met in LAVIS's own code, then absent in ours.

Those of a run as a whole are in `test_lavis_defects_run.py`, those of the loop, results and names in
`test_lavis_defects_loop.py`; docs/lavis_defects.md lists all of them, and `test_lavis_defects_table.py` keeps it true.
"""

import argparse
import datetime
import time
import warnings
from types import SimpleNamespace

import pytest
import torch
from lavis.common import dist_utils
from lavis.common.config import Config
from lavis.datasets.datasets.base_dataset import ConcatDataset
from lavis.datasets.datasets.dataloader_utils import IterLoader, PrefetchLoader
from lavis.runners.runner_base import RunnerBase
from lavis.tasks.base_task import BaseTask
from torch.utils.data import ChainDataset, DataLoader, IterableDataset

from helpers.stand_in import StandInDataset, StandInModel, stand_in_config
from lavis_sam import distributed
from lavis_sam.distributed import Launch
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.run_config import SamConfig
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.optimisation import apply_gradients, build_scaler

SLURM = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}


def make_runner(folder, dataset, **run):
    config = stand_in_config(folder, **run)
    return RunnerSam(config, MultiImageCaptioningTask(), StandInModel(), {"s": {"train": dataset}})


class Pairs(IterableDataset):
    """A stream whose samples only its own collater can put together."""

    def __len__(self):
        return 4

    def __iter__(self):
        return iter([StandInDataset(4)[index] for index in range(4)])

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def collater(self, samples):
        return StandInDataset(4).collater(samples)


class NoCollater(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"image": torch.zeros(1), "sample_id": index}


def test_defect_2_loading_needs_no_gpu(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda *args, **kwargs: opened.append(args))
    PrefetchLoader([])
    assert opened
    opened.clear()
    make_runner(tmp_path, StandInDataset(4)).train()
    assert not opened


@pytest.fixture
def group_options(monkeypatch):
    """What the process group would be started with; and no GPU is touched."""
    options = {}
    stub = SimpleNamespace(set=lambda *a: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: options.update(device=device))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **k: options.update(k, given=a))
    monkeypatch.setattr(torch.distributed, "barrier", lambda *a, **k: None)
    monkeypatch.setattr(torch.distributed, "rendezvous", lambda *a, **k: iter([(stub, 0, 2)]))
    monkeypatch.setattr(torch.distributed, "PrefixStore", lambda name, store: store)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    monkeypatch.setattr(dist_utils, "setup_for_distributed", lambda is_main: None)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    return options


def test_defect_5_cpus_use_gloo_and_waiting_has_an_end(group_options, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    dist_utils.init_distributed_mode(SimpleNamespace(dist_url="env://"))
    assert group_options["backend"] == "nccl"
    assert group_options["timeout"] == datetime.timedelta(days=365)
    assert group_options["device"] == 0
    group_options.clear()
    with distributed.process_group(Launch(0, 2, 0), torch.device("cpu"), datetime.timedelta(minutes=3)):
        assert group_options["given"] == ("gloo",)
        assert group_options["timeout"] == datetime.timedelta(minutes=3)
        assert "device" not in group_options


def test_defect_6_slurm_knows_the_number_of_processes(group_options, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(AttributeError, match="world_size"):
        dist_utils.init_distributed_mode(SimpleNamespace(dist_url="env://"))
    assert Launch.from_environment() == Launch(rank=5, world_size=8, local_rank=1)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (SLURM, Launch(5, 8, 1)),
        (SLURM | {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, Launch(0, 2, 0)),  # torchrun inside a SLURM step
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}, Launch()),  # the shell of an allocation
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launch()),  # one task of a step
    ],
)
def test_places_under_slurm(environment, expected):
    assert Launch.from_environment(environment) == expected


def test_a_slurm_step_without_its_numbers_is_an_error():
    with pytest.raises(SamConfigurationError, match="SLURM_NTASKS"):
        Launch.from_environment({"SLURM_STEP_ID": "0", "SLURM_PROCID": "1"})


def test_defect_17_no_sleep_between_epochs(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    loader = IterLoader(DataLoader([1]))
    next(loader), next(loader)
    assert slept == [2]
    slept.clear()
    make_runner(tmp_path, StandInDataset(4), max_epoch=3).train()
    assert slept == []


def test_defect_26_a_data_set_without_collater(tmp_path):
    with pytest.raises(AttributeError, match="collater"):
        ConcatDataset([NoCollater()]).collater([NoCollater()[0]])
    runner = make_runner(tmp_path, NoCollater(), batch_size_train=2)
    runner.training_data.start(0, 42)
    assert sorted(runner.training_data.next_batch().samples["sample_id"].tolist()) == [0, 1]


def test_defect_27_mixed_precision_is_neither_deprecated_nor_silently_off(tmp_path):
    stock = object.__new__(RunnerBase)
    stock.config, stock._scaler = SimpleNamespace(run_cfg={"amp": True}), None
    with pytest.warns(FutureWarning, match=r"torch\.cuda\.amp"):
        assert not stock.scaler.is_enabled() or torch.cuda.is_available()
    model = StandInModel()
    model.frozen.to(torch.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_scaler(model, torch.device("cpu")).is_enabled()
    with pytest.raises(SamConfigurationError, match=r"run.amp: use `model.precision`"):
        make_runner(tmp_path, StandInDataset(2), amp=True)


TYPOS = """
model: {arch: blip2_vicuna_sam, model_type: tiny, max_text_len: 7, guidance: {contxt: self}}
datasets: {mmlink: {type: photographs, vis_procesor: {}}}
run: {task: multi_image_captioning, ini_lr: 1}
"""


def test_defect_31_unknown_keys_are_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(TYPOS)
    arguments = argparse.Namespace(cfg_path=str(path), options=None)
    stock = Config(arguments)
    assert stock.model_cfg.max_text_len == 7
    assert stock.run_cfg.ini_lr == 1
    with pytest.raises(SamConfigurationError) as caught:
        SamConfig(arguments)
    for word in ("max_text_len", "'contxt'. Did you mean 'context'?", "vis_procesor", "ini_lr"):
        assert word in str(caught.value)


def test_defect_34_a_stream_is_collated_by_its_own_collater(tmp_path):
    stock = SimpleNamespace(use_distributed=False)
    (loader,) = RunnerBase.create_loaders(stock, [ChainDataset([Pairs()])], 0, [2], [True], [Pairs().collater])
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        next(loader)
    runner = make_runner(tmp_path, Pairs(), batch_size_train=2)
    runner.train()
    assert runner._model.calls == [["s0", "s1"], ["s2", "s3"], ["s2", "s3"]]  # the last one is the stream's end


def test_defect_34_gradients_are_clipped(monkeypatch):
    """Stock's training loop has no place for it: an enormous gradient moves SGD as far as it wants."""
    moved = {}
    for name in ("stock", "ours"):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        if name == "stock":
            task = BaseTask()
            monkeypatch.setattr(task, "train_step", lambda model, samples, p=parameter: (p * 1e6).sum())
            schedule = SimpleNamespace(step=lambda **_: None)
            task._train_inner_loop(0, 1, torch.nn.Identity(), iter([{"image": 0}]), optimizer, schedule)
        else:
            parameter.grad = torch.tensor([1e6])
            apply_gradients(optimizer, None, factor=1.0, max_norm=1.0)
        moved[name] = abs(parameter.item())
    assert moved == {"stock": 1e6, "ours": pytest.approx(1.0)}


def test_defect_34_checkpoints_hold_random_states_and_the_place_in_the_data(tmp_path, monkeypatch):
    stock = object.__new__(RunnerBase)
    stock._model = stock._wrapped_model = StandInModel()
    stock._model.device = torch.device("cpu")
    stock._device, stock._scaler, stock.output_dir = torch.device("cpu"), None, tmp_path
    stock._optimizer = torch.optim.SGD(stock._model.trained.parameters(), lr=1.0)
    stock.config = SimpleNamespace(to_dict=dict, run_cfg=SimpleNamespace(distributed=False, get=lambda *a: None))
    stock._save_checkpoint(0)
    assert set(torch.load(tmp_path / "checkpoint_0.pth")) == {"model", "optimizer", "config", "scaler", "epoch"}
    runner = make_runner(tmp_path, StandInDataset(8), max_epoch=1)
    runner.train()
    content = torch.load(runner.output_dir / "checkpoint_0.pth", weights_only=True)
    assert set(content["random"][0]) == {"python", "numpy", "torch", "cuda"}
    (place,) = content["data"]
    assert (place["epoch"], place["batches"], place["samples"], place["seed"]) == (0, 2, 8, 42)
