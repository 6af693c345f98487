"""Every schedule: rates worked by hand at telling steps, bad settings, and PyTorch's one-cycle policy."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tuilab.blocks.metrics import higher_is_better
from tuilab.blocks.schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    InverseTime,
    OneCycle,
    Polynomial,
    ReduceOnPlateau,
    Schedule,
    Step,
)
from tuilab.errors import ExperimentError

TOTAL = 100

# The schedule, and its rate by step in a training of 100 steps.
CASES: list[tuple[Schedule, dict[int, float]]] = [
    (Constant(learning_rate=0.3), {0: 0.3, 99: 0.3, 500: 0.3}),
    (
        ExponentialDecay(initial_learning_rate=0.8, decay_steps=10, decay_rate=0.25),
        {0: 0.8, 5: 0.4, 10: 0.2, 20: 0.05},
    ),
    (
        ExponentialDecay(initial_learning_rate=0.8, decay_steps=10, decay_rate=0.25, staircase=True),
        {0: 0.8, 9: 0.8, 10: 0.2, 19: 0.2, 20: 0.05},
    ),
    (ExponentialDecay(initial_learning_rate=0.8, decay_rate=0.25), {0: 0.8, 50: 0.4, 100: 0.2}),
    (Step(boundaries=[3, 9], values=[1.0, 0.5, 0.1]), {0: 1.0, 3: 1.0, 4: 0.5, 9: 0.5, 10: 0.1, 999: 0.1}),
    (
        CosineDecay(initial_learning_rate=0.4, decay_steps=12),
        {0: 0.4, 4: 0.3, 6: 0.2, 8: 0.1, 12: 0.0, 30: 0.0},
    ),
    (CosineDecay(initial_learning_rate=0.4, alpha=0.5), {0: 0.4, 50: 0.3, 100: 0.2}),
    (
        CosineDecay(initial_learning_rate=0.1, decay_steps=12, warmup_target=0.5, warmup_steps=4),
        {0: 0.1, 1: 0.2, 3: 0.4, 4: 0.5, 8: 0.375, 10: 0.25, 16: 0.0, 17: 0.0},
    ),
    (
        CosineDecay(initial_learning_rate=0.0, warmup_target=0.5, warmup_steps=20),
        {0: 0.0, 10: 0.25, 20: 0.5, 60: 0.25, 100: 0.0},
    ),
    (
        Polynomial(initial_learning_rate=0.5, decay_steps=10, end_learning_rate=0.1),
        {0: 0.5, 5: 0.3, 10: 0.1, 11: 0.1},
    ),
    (Polynomial(initial_learning_rate=0.5, end_learning_rate=0.1, power=2.0), {0: 0.5, 50: 0.2, 100: 0.1}),
    (
        Polynomial(initial_learning_rate=0.5, decay_steps=10, end_learning_rate=0.1, cycle=True),
        {0: 0.5, 5: 0.3, 10: 0.1, 11: 0.28, 15: 0.2, 20: 0.1, 24: 0.18},
    ),
    (InverseTime(initial_learning_rate=0.6, decay_steps=10, decay_rate=0.5), {0: 0.6, 5: 0.48, 10: 0.4, 40: 0.2}),
    (
        InverseTime(initial_learning_rate=0.6, decay_steps=10, decay_rate=0.5, staircase=True),
        {0: 0.6, 9: 0.6, 10: 0.4, 19: 0.4, 20: 0.3},
    ),
    (InverseTime(initial_learning_rate=0.6), {0: 0.6, 50: 0.4, 100: 0.3}),
    (
        # from 1 / 25 up to the top at step 11 · 5 / 11 − 1 = 4, down to 1 / 25 / 10 at the last of 11 steps
        OneCycle(max_learning_rate=1.0, total_steps=11, pct_start=5 / 11, div_factor=25.0, final_div_factor=10.0),
        {0: 0.04, 2: 0.52, 4: 1.0, 7: 0.502, 10: 0.004, 50: 0.004},
    ),
    (OneCycle(max_learning_rate=1.0), {29: 1.0, 99: 1 / 25 / 1e4}),
    (OneCycle(max_learning_rate=1.0, total_steps=4, pct_start=0.25), {0: 1.0, 3: 1 / 25 / 1e4}),
    (ReduceOnPlateau(initial_learning_rate=0.2), {0: 0.2, 99: 0.2}),
]


@pytest.mark.parametrize(("schedule", "rates"), CASES, ids=[schedule.type_name() for schedule, _ in CASES])
def test_rates_worked_by_hand(schedule: Schedule, rates: dict[int, float]) -> None:
    for step, rate in rates.items():
        assert schedule.rate(step, TOTAL, {}) == pytest.approx(rate, rel=1e-12, abs=1e-15), f"step {step}"


def test_every_schedule_has_a_case() -> None:
    names = {"constant", "exponential_decay", "step", "cosine_decay", "polynomial", "inverse_time", "one_cycle"}
    assert {schedule.type_name() for schedule, _ in CASES} == set(Schedule.registry)
    assert set(Schedule.registry) == names | {"reduce_on_plateau"}


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(set(Schedule.registry) - {"step"}))
def test_short_trainings_have_a_rate(name: str, total: int) -> None:
    schedule = Schedule.choose(name)
    assert all(0 <= schedule.rate(step, total, {}) < math.inf for step in range(total + 2))


@pytest.mark.parametrize(("total", "share"), [(10, 0.3), (97, 0.3), (50, 0.0), (50, 0.9), (7, 0.05)])
def test_one_cycle_equals_pytorch(total: int, share: float) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.2, total_steps=total, pct_start=share, cycle_momentum=False
    )
    schedule = OneCycle(max_learning_rate=0.2, pct_start=share)
    for step in range(total):
        assert schedule.rate(step, total, {}) == pytest.approx(oracle.get_last_lr()[0], rel=1e-12), f"step {step}"
        optimizer.step()
        oracle.step()


def plateau(results: list[float], monitor: str = "val_loss", **settings: Any) -> list[float]:
    """Return the rate after each epoch, as powers of the factor 1/2 below 1."""
    schedule = ReduceOnPlateau(initial_learning_rate=1.0, factor=0.5, monitor=monitor, **settings)
    memory: dict[str, float] = {}
    rates = []
    for result in results:
        schedule.epoch_done({"loss": 0.0, monitor: result}, memory)
        rates.append(schedule.rate(0, TOTAL, memory))
    return rates


def test_plateau_waits_and_falls() -> None:
    assert plateau([5, 4, 4, 4, 3, 4, 3, 3], patience=2) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_plateau_wants_more_than_min_delta() -> None:
    assert plateau([5, 4.75, 4.5, 4.25], patience=3, min_delta=0.25) == [1, 1, 1, 1]
    assert plateau([5, 4.75, 4.75, 4.75], patience=3, min_delta=0.25) == [1, 1, 1, 0.5]


def test_plateau_cools_down() -> None:
    assert plateau([5] * 8, patience=1) == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125]
    assert plateau([5] * 8, patience=1, cooldown=2) == [1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]


def test_plateau_stops_at_the_smallest_rate() -> None:
    assert plateau([5] * 5, patience=1, min_lr=0.3) == [1, 0.5, 0.3, 0.3, 0.3]
    assert plateau([5] * 3, patience=1, min_lr=2.0) == [1, 1, 1]


def test_plateau_knows_which_way_is_better() -> None:
    rising = [0.1, 0.2, 0.3, 0.4]
    assert plateau(rising, patience=2) == [1, 1, 0.5, 0.5]
    assert plateau(rising, patience=2, mode="max") == [1, 1, 1, 1]
    assert plateau(rising, "val_accuracy", patience=2) == [1, 1, 1, 1]
    assert plateau(rising, "val_accuracy", patience=2, mode="min") == [1, 1, 0.5, 0.5]


def test_plateau_takes_nan_for_no_improvement() -> None:
    assert plateau([math.nan, 3, math.nan, math.nan, 2], patience=2) == [1, 1, 1, 0.5, 0.5]


def test_plateau_says_which_results_there_are() -> None:
    with pytest.raises(ExperimentError, match=r"monitor: there is no result 'val_loss', choose from loss, accuracy"):
        ReduceOnPlateau().epoch_done({"loss": 1.0, "accuracy": 0.5}, {})


@pytest.mark.parametrize("result", ["val_accuracy", "top_k", "precision", "val_recall", "f1", "val_auc", "r2"])
def test_higher_is_better(result: str) -> None:
    assert higher_is_better(result)


@pytest.mark.parametrize("result", ["loss", "val_loss", "mae", "val_rmse", "perplexity"])
def test_lower_is_better(result: str) -> None:
    assert not higher_is_better(result)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "step", "boundaries": [5, 5], "values": [1.0, 0.5, 0.1]}, r"must rise from one to the next"),
        ({"type": "step", "boundaries": [9, 5], "values": [1.0, 0.5, 0.1]}, r"got \[9, 5\]"),
        ({"type": "step", "boundaries": [5], "values": [1.0]}, r"1 boundaries need 2 values, got 1"),
        ({"type": "step", "boundaries": [], "values": [1.0]}, r"boundaries"),
        ({"type": "step", "boundaries": [5], "values": [1.0, -1.0]}, r"values.1"),
        ({"type": "exponential_decay", "staircase": True}, r"staircase needs decay_steps"),
        ({"type": "exponential_decay", "decay_steps": 0}, r"decay_steps"),
        ({"type": "inverse_time", "staircase": True}, r"staircase needs decay_steps"),
        ({"type": "polynomial", "cycle": True}, r"cycle needs decay_steps"),
        ({"type": "cosine_decay", "warmup_steps": 5}, r"warmup_steps needs warmup_target"),
        ({"type": "cosine_decay", "warmup_target": 0.5}, r"warmup_target needs warmup_steps"),
        ({"type": "reduce_on_plateau", "factor": 1.0}, r"factor"),
        ({"type": "one_cycle", "pct_start": 1.5}, r"pct_start"),
        ({"type": "constant", "learning_rate": -1.0}, r"learning_rate"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Schedule.choose(settings)


def test_a_number_is_a_constant_rate() -> None:
    assert Schedule.choose(0.25) == Constant(learning_rate=0.25)


@pytest.mark.parametrize("name", sorted(Schedule.other_names))
def test_names_known_elsewhere_lead_here(name: str) -> None:
    with pytest.raises(PydanticCustomError) as error:
        Schedule.choose(name)
    hint = Schedule.other_names[name]
    assert f"write {hint}" in str(error.value)
    assert hint.split()[0].rstrip(",") in Schedule.registry
