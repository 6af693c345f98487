"""The engine's own threads, and how many BLAS has."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuilab.engine.threads import VARIABLES, Team, count_threads, settle_threads, share

SIZES = (1, 2, 3)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment as it was."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)
    return


@pytest.mark.usefixtures("settings")
def test_the_environment_says_how_many_threads_there_are() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert count_threads() == cores
    settle_threads(3)
    assert count_threads() == 3
    assert {os.environ[name] for name in VARIABLES} == {"3"}
    os.environ["OMP_NUM_THREADS"] = "many"
    assert count_threads() == 3, "the next that is a number"


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
@pytest.mark.parametrize("parts", SIZES)
def test_shares_are_even(count: int, parts: int) -> None:
    shares = [share(count, part, parts) for part in range(parts)]
    assert [number for mine in shares for number in mine] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("size", SIZES)
def test_every_part_is_done_on_a_thread_of_its_own(size: int) -> None:
    team, meeting, threads = Team(size), threading.Barrier(size, timeout=10), [""] * size

    def task(part: int) -> None:
        meeting.wait()  # all are at work at once
        threads[part] = threading.current_thread().name

    for _ in range(50):
        team.run(task)
    assert threads[0] == threading.current_thread().name
    assert len(set(threads)) == size


@pytest.mark.parametrize("failing", [{0}, {1}, {2}, {1, 2}, {0, 1, 2}])
def test_what_a_part_raises_reaches_the_caller_when_all_have_ended(failing: set[int]) -> None:
    team, done = Team(3), []

    def task(part: int) -> None:
        if part in failing:
            raise ValueError(part)
        threading.Event().wait(0.02)
        done.append(part)

    for _ in range(2):
        done.clear()
        with pytest.raises(ValueError, match=str(min(failing))):
            team.run(task)
        assert set(done) == {0, 1, 2} - failing
    team.run(done.append)
    assert sorted(done[-3:]) == [0, 1, 2]


def test_a_task_inside_a_task_is_done_by_its_own_thread() -> None:
    team, found = Team(2), []

    def inner(part: int) -> None:
        found.append((threading.current_thread().name, part))

    def outer(part: int) -> None:
        if part == 1:
            team.run(inner)

    team.run(outer)
    assert [part for _, part in found] == [0, 1]
    assert len({name for name, _ in found}) == 1


def test_an_interrupted_caller_leaves_a_team_that_works() -> None:
    team, begun, go_on = Team(2), threading.Event(), threading.Event()

    class Interrupted(BaseException):
        pass

    def task(part: int) -> None:
        if part == 1:
            begun.set()
            assert go_on.wait(10)

    team.run(lambda part: None)
    worker = team._workers[0]
    end = worker.end

    def interrupted() -> Any:
        begun.wait(10)
        raise Interrupted

    worker.end = interrupted  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        team.run(task)
    worker.end = end  # type: ignore[method-assign]
    done: list[int] = []
    team.run(done.append)
    go_on.set()
    assert sorted(done) == [0, 1]


def test_parts_take_overflow_as_the_caller_does() -> None:
    team, largest = Team(2), np.full(8, 3e38, "float32")

    def task(part: int) -> None:
        largest + largest

    with np.errstate(over="ignore"):
        team.run(task)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        team.run(task)


def test_a_forked_process_starts_threads_of_its_own() -> None:
    code = """
import os
from tuilab.engine.threads import team
found = []
team(3).run(found.append)
child = os.fork()
if not child:
    found.clear()
    team(3).run(found.append)
    os._exit(0 if sorted(found) == [0, 1, 2] else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    settings = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20, env=settings)


def test_threads_end_with_the_process() -> None:
    """Also one that is at work."""
    code = """
import threading, time
from tuilab.engine.threads import team
def task(part):
    if part == 1:
        time.sleep(60)
threading.Thread(target=team(2).run, args=(task,), daemon=True).start()
time.sleep(0.1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


def test_blas_uses_as_many_threads_as_it_is_told() -> None:
    """In a process of its own, where scipy has brought no second BLAS."""
    code = """
from threadpoolctl import threadpool_info
from tuilab.engine.threads import let_blas_use
for count in (1, 2, 1):
    let_blas_use(count)
    assert {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"} == {count}
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_module_loads_nothing_heavy() -> None:
    code = "import sys, tuilab.engine.threads; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
