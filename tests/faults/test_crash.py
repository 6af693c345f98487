"""Workers that fail: the reason is told in one line, the traceback is in the log, and the run goes on later."""

from __future__ import annotations

import re

import pytest

from tests.faults.conftest import LONG, MODEL, OFTEN, Studio, ask, over, record, training, wait
from tuilab.runs.checkpoints import resumable_checkpoints
from tuilab.runs.directory import find_run

FAILING = """
from tuilab.blocks.layers.dense import BoundDense
forward, calls = BoundDense.forward, 0
def failing(layer, *arguments, **options):
    global calls
    calls += 1
    if calls == 1000:
        {}
    return forward(layer, *arguments, **options)
BoundDense.forward = failing
"""
LOOSE_WIRE = r'raise RuntimeError("a wire \x1b[31mcame loose\nsomewhere")'
SEGMENTATION_FAULT = "import ctypes; ctypes.string_at(0)"


@pytest.mark.parametrize(
    ("failure", "told", "reason"),
    [
        (
            LOOSE_WIRE,
            ["tuilab: RuntimeError: a wire �[31mcame loose\n", "tuilab: somewhere; worker.log says where\n"],
            "RuntimeError: a wire �[31mcame loose somewhere; worker.log says where",
        ),
        (SEGMENTATION_FAULT, ["ended by SIGSEGV; go on: tuilab resume"], "its worker was killed"),
    ],
    ids=["exception", "segmentation fault"],
)
def test_a_crash(studio: Studio, failure: str, told: list[str], reason: str) -> None:
    studio.worker = OFTEN
    model = studio.model()
    studio("train", model)
    undisturbed = record(find_run(studio.tuilab.runs, "last"), "loss")
    studio.worker = OFTEN + FAILING.format(failure)
    done = studio("train", model, code=1)
    run = find_run(studio.tuilab.runs, "last")
    assert all(part in done.stderr for part in told), done.stderr
    assert over(run, "failed").reason.startswith(reason)
    log = (run.path / "worker.log").read_text()
    assert "most recent call" in log
    assert "in failing" in log
    studio.worker = ""
    studio("resume", run.name)
    assert record(run, "loss") == undisturbed


@pytest.mark.parametrize(
    ("units", "limit", "needed"),
    [(1_000_000, 64_000, "24000.5 GB"), (8_000, 1_200, "1.5 GB")],
    ids=["far too large", "too large"],
)
def test_too_little_memory(studio: Studio, units: int, limit: int, needed: str) -> None:
    """Two layers of so many units, where a process may have so many MB."""
    studio.worker = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit} * 10**6,) * 2)\n"
    layers = f'[[layers]]\ntype = "dense"\nunits = {units}\n' * 2
    model = studio.model(MODEL.replace("[[layers]]", f"{layers}[[layers]]", 1))
    done = studio("train", model, code=1)
    assert re.search(rf"not enough memory: Unable to allocate .*; training takes {needed} beside the data", done.stderr)
    assert "smaller layers need less" in done.stderr
    assert not studio.tuilab.run_names()


def test_a_run_that_diverges_goes_on_with_a_smaller_learning_rate(studio: Studio) -> None:
    run, _ = studio.detached("train", studio.model(LONG))
    wait(lambda: training(run))
    assert ask(run, "set", "learning_rate", "1e30").accepted
    seen = over(run, "diverged")
    assert re.search(rf"at step {seen.status.step + 1}|after step {seen.status.step}", seen.reason)
    assert re.search(r"\(layers\[\d\]\) is not finite", seen.reason)
    assert seen.reason in studio("resume", run.name, code=3).stderr, "nothing has changed"
    good = int(resumable_checkpoints(run)[0].name.removeprefix("step-"))
    changes = ["training.optimizer.learning_rate=0.001", f"training.epochs={seen.status.epoch + 2}"]
    done = studio("resume", run.name, "--set", changes[0], "--set", changes[1])
    assert f"goes on after step {good:,}," in done.stderr
    results = over(run).status.test
    assert results is not None
    assert results["loss"] is not None
