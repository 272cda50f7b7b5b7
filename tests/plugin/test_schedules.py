"""The learning rate of every step; where LAVIS's own schedule goes wrong."""

import itertools

import pytest
import torch
from lavis.common.optims import LinearWarmupCosineLRScheduler
from lavis.common.registry import registry

from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.schedules import LinearWarmupCosineStepLRScheduler

RUN = {"max_epoch": 5, "min_lr": 0.01, "init_lr": 1.0, "warmup_steps": 6, "warmup_start_lr": 0.1, "decay_rate": None}
STEPS = 4


def rates(schedule_class, **changes):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=123.0)
    schedule = schedule_class(optimizer=optimizer, **(RUN | {"steps_per_epoch": STEPS} | changes))
    found = []
    for epoch in range(RUN["max_epoch"]):
        for step in range(STEPS):
            schedule.step(cur_epoch=epoch, cur_step=step)
            found.append(optimizer.param_groups[0]["lr"])
    return found


def test_registered():
    assert registry.get_lr_scheduler_class("linear_warmup_cosine_step_lr") is LinearWarmupCosineStepLRScheduler


def test_warms_up_over_epochs_and_ends_at_the_minimum():
    found = rates(LinearWarmupCosineStepLRScheduler)
    assert found[:7] == pytest.approx([0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0])
    assert found[-1] == pytest.approx(0.01)
    assert all(before > after for before, after in itertools.pairwise(found[6:]))
    # half-way between step 6 (the full rate) and step 19 (the minimum)
    assert (found[12] + found[13]) / 2 == pytest.approx((1.0 + 0.01) / 2)


def test_no_jump_is_larger_than_the_warm_up_step():
    found = rates(LinearWarmupCosineStepLRScheduler)
    assert max(abs(a - b) for a, b in itertools.pairwise(found)) < 0.1501


def test_lavis_schedule_jumps_and_never_reaches_the_minimum():
    """Defect 19 of LAVIS 1.0.2, which the schedule of ours mends."""
    found = rates(LinearWarmupCosineLRScheduler)
    assert max(abs(a - b) for a, b in itertools.pairwise(found)) > 0.3
    assert found[-1] > 0.05


def test_negative_start_rate_is_zero():
    assert rates(LinearWarmupCosineStepLRScheduler, warmup_start_lr=-1)[0] == 0.0


def test_without_warm_up_it_starts_at_the_full_rate():
    assert rates(LinearWarmupCosineStepLRScheduler, warmup_steps=0)[0] == 1.0


def test_a_warm_up_longer_than_the_run_only_warms_up():
    assert rates(LinearWarmupCosineStepLRScheduler, warmup_steps=100)[-1] == pytest.approx(0.1 + 0.9 * 19 / 100)


def test_a_run_that_ends_with_its_warm_up_stays_at_the_full_rate():
    assert rates(LinearWarmupCosineStepLRScheduler, warmup_steps=19)[-1] == 1.0


def test_missing_number_of_steps_names_the_remedy():
    with pytest.raises(SamConfigurationError, match="runner_sam"):
        rates(LinearWarmupCosineStepLRScheduler, steps_per_epoch=None)


def test_schedule_has_no_jump_at_the_end_of_the_warm_up_and_ends_at_the_minimum():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rate = {"min_lr": 0.0, "init_lr": 1.0, "warmup_start_lr": 0.0, "warmup_steps": 6}
    schedule = LinearWarmupCosineStepLRScheduler(optimizer=optimizer, max_epoch=4, steps_per_epoch=5, **rate)
    rates = []
    for epoch in range(4):
        for step in range(5):
            schedule.step(cur_epoch=epoch, cur_step=step)
            rates.append(optimizer.param_groups[0]["lr"])
    assert rates[4] < rates[5] < rates[6] == 1.0
    assert max(abs(a - b) for a, b in itertools.pairwise(rates)) < 0.17
    assert rates[-1] == pytest.approx(0.0)
