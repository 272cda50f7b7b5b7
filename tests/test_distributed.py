"""One process: every helper is the identity. The launcher's environment is read strictly."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch

from lavis_sam import distributed
from lavis_sam.distributed import Launch
from lavis_sam.errors import SamConfigurationError


def test_alone():
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.is_main_process()
    assert not distributed.is_distributed()
    distributed.barrier()  # defect 4: LAVIS's runner raises here
    assert distributed.sum_over_ranks([1, 2.5]) == [1.0, 2.5]
    assert distributed.gather_on_main("x") == ["x"]
    assert distributed.from_main("x") == "x"
    with distributed.process_group(Launch(), torch.device("cpu")):
        assert not distributed.is_distributed()


def test_launch_from_the_environment():
    assert Launch.from_environment({}) == Launch(0, 1, 0)
    assert Launch.from_environment({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Launch(3, 8, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "0"},
        {"RANK": "0", "WORLD_SIZE": "2"},
        {"RANK": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
        {"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
        {"RANK": "-1", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
    ],
)
def test_a_broken_environment_is_an_error(environment):
    with pytest.raises(SamConfigurationError, match="environment: found"):
        Launch.from_environment(environment)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert distributed.choose_device("auto") == torch.device("cpu")
    with pytest.raises(SamConfigurationError, match="torch sees no GPU"):
        distributed.choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert distributed.choose_device("cpu") == torch.device("cpu")
    assert distributed.choose_device("auto", Launch(1, 2, 1)) == torch.device("cuda", 1)
    with pytest.raises(SamConfigurationError, match=r"LOCAL_RANK 2: this machine has 2 GPU"):
        distributed.choose_device("auto", Launch(2, 3, 2))


def test_a_group_of_one_process_over_gloo():
    """The code of many processes, in one: sums and objects come back, and the group is gone afterwards."""
    store, limit = torch.distributed.HashStore(), timedelta(seconds=60)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1, timeout=limit)
    try:
        assert distributed.is_distributed()
        assert distributed.sum_over_ranks([1, 2.5]) == [1.0, 2.5]
        assert distributed.gather_on_main({"a": 1}) == [{"a": 1}]
        assert distributed.gather_on_all({"a": 1}) == [{"a": 1}]
        assert distributed.from_main({"a": 1}) == {"a": 1}
        distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()


SLURM = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1"}


@pytest.fixture
def group_options(monkeypatch):
    """What the process group would be started with; and no GPU is touched."""
    options = {}
    stub = SimpleNamespace(set=lambda *a: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: options.update(device=device))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **k: options.update(k, given=a))
    monkeypatch.setattr(torch.distributed, "rendezvous", lambda *a, **k: iter([(stub, 0, 2)]))
    monkeypatch.setattr(torch.distributed, "PrefixStore", lambda name, store: store)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    return options


def test_process_group_of_cpus_uses_gloo_and_waiting_has_an_end(group_options):
    with distributed.process_group(Launch(0, 2, 0), torch.device("cpu"), timedelta(minutes=3)):
        assert group_options["given"] == ("gloo",)
        assert group_options["timeout"] == timedelta(minutes=3)
        assert "device" not in group_options


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (SLURM, Launch(5, 8, 1)),
        (SLURM | {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, Launch(0, 2, 0)),  # torchrun inside a SLURM step
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}, Launch()),  # the shell of an allocation
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launch()),  # one task of a step
    ],
)
def test_launch_under_slurm(environment, expected):
    assert Launch.from_environment(environment) == expected


def test_launch_of_a_slurm_step_without_its_numbers_is_an_error():
    with pytest.raises(SamConfigurationError, match="SLURM_NTASKS"):
        Launch.from_environment({"SLURM_STEP_ID": "0", "SLURM_PROCID": "1"})


def test_sum_over_ranks_needs_no_gpu(monkeypatch):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        monkeypatch.setattr(torch.Tensor, "cuda", lambda *args, **kwargs: pytest.fail("moved to a GPU"))
        assert distributed.sum_over_ranks([1.5, 2]) == [1.5, 2.0]
    finally:
        torch.distributed.destroy_process_group()
