"""Whether a run is being trained: whatever its folder looks like, only a worker that lives holds its lock."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.conftest import LONG, Studio, ask, end_soon, kill, over, owner_of, training, wait
from tuilab.runs.commands import Command, signal_worker
from tuilab.runs.directory import RunDirectory, find_run, run_names
from tuilab.runs.launch import launch
from tuilab.runs.reader import following, overview, try_overview

KILL = Command(action="kill")


@pytest.fixture
def run(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run that trains, with a checkpoint."""
    monkeypatch.setenv("TUILAB_RUNS", str(studio.tuilab.runs))  # marks what is launched from here as the studio's
    run, _ = studio.detached("train", studio.model(LONG))
    wait(lambda: training(run))
    assert ask(run, "checkpoint").accepted
    return run


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with tuilab."""
    with subprocess.Popen(["sleep", "600"], env={}) as process:
        yield process
        process.kill()


def tell(run: RunDirectory, **facts: Any) -> None:
    """Change what the lock file says."""
    path = run.path / "lock"
    path.write_bytes(json.dumps(json.loads(path.read_bytes()) | facts).encode().ljust(1024))


def of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return what a lock file would say of a process."""
    facts = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return {"pid": process.pid, "started": int(facts[19]) / os.sysconf("SC_CLK_TCK")}


def assert_dead(studio: Studio, run: RunDirectory) -> None:
    seen = overview(run)
    assert (seen.state, seen.alive) == ("failed", False)
    assert "its worker was killed" in seen.reason
    for command in ("stop", "pause"):
        assert "is not being trained" in studio(command, run.name, code=2).stderr


def test_a_zombie(studio: Studio, run: RunDirectory) -> None:
    """A worker that has ended, while its parent, this test, has not taken notice of it."""
    studio("stop", run.name)
    over(run, "stopped")
    process = launch(run).process
    wait(lambda: training(run))
    process.kill()
    wait(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert not owner_of(run).may_live()
    assert_dead(studio, run)
    process.wait()


def test_a_process_number_that_is_used_again(
    studio: Studio, run: RunDirectory, bystander: subprocess.Popen[bytes]
) -> None:
    kill(owner_of(run).pid)
    tell(run, **of(bystander))
    assert owner_of(run).may_live()
    assert_dead(studio, run)
    assert "is not being trained" in studio("stop", "--kill", run.name, code=2).stderr
    signal_worker(run, KILL)
    assert bystander.poll() is None


def test_a_process_number_that_is_used_again_after_a_restart_of_the_machine(
    studio: Studio, run: RunDirectory, bystander: subprocess.Popen[bytes]
) -> None:
    kill(owner_of(run).pid)
    tell(run, boot="another", **of(bystander))
    assert not owner_of(run).may_live()
    assert_dead(studio, run)
    signal_worker(run, KILL)
    assert bystander.poll() is None


def test_a_copy_of_a_run_that_trains(studio: Studio, run: RunDirectory) -> None:
    copies = [RunDirectory(studio.tuilab.runs / f"copy-{number}") for number in range(5)]
    wait(lambda: not list((run.path / "commands").iterdir()))  # what goes meanwhile cannot be copied
    for copy in copies:
        subprocess.run(["cp", "-r", run.path, copy.path], check=True)
        assert overview(run).state == "running"
        seen = try_overview(copy)
        assert isinstance(seen, str) or seen.state == "failed"
    studio.detached("resume", copies[-1].name)
    wait(lambda: training(copies[-1]))
    assert owner_of(copies[-1]).pid != owner_of(run).pid
    assert overview(run).state == "running"


def test_another_machine(studio: Studio, run: RunDirectory, bystander: subprocess.Popen[bytes]) -> None:
    """Nobody can say from here whether it lives; nothing is done to it, nor to a process of that number here."""
    for _ in ("while its worker lives", "after it was killed"):
        tell(run, host="elsewhere\x1b[31m", **of(bystander))
        seen = overview(run)
        assert seen.state == "unknown"
        assert re.fullmatch(r"on elsewhere.*, last heartbeat \d+ s ago", seen.reason)
        assert "\x1b" not in seen.reason
        assert not signal_worker(run, KILL).accepted
        assert bystander.poll() is None
        for process in studio.processes():
            process.kill()
        wait(lambda: not studio.processes())


def test_a_second_worker_is_refused_and_changes_nothing(studio: Studio, run: RunDirectory) -> None:
    pid = owner_of(run).pid
    assert f"is being trained already, by process {pid}" in studio("resume", run.name, code=2).stderr
    ask(run, "pause")
    wait(lambda: overview(run).state == "paused")

    def everything() -> Any:
        with following(run) as reader:
            status = reader.status().model_dump(exclude={"heartbeat"})
            told = reader.messages()
        paths = [path for path in run.path.rglob("*") if not path.name.startswith(("metrics.db", "worker.log"))]
        return status, told, {path: path.is_file() and path.read_bytes() for path in paths}

    before = everything()
    second = launch(run, ["training.epochs=3"])
    assert second.process.wait() == 2
    assert f"is being trained already, by process {pid}" in second.complaints()[0]
    assert everything() == before
    assert ask(run, "resume").accepted


def test_a_command_that_follows_a_run_does_not_hear_of_a_worker_that_was_refused(studio: Studio) -> None:
    first = studio.start("train", studio.model(LONG), "--json")
    wait(lambda: run_names(studio.tuilab.runs))
    run = find_run(studio.tuilab.runs, "last")
    wait(lambda: training(run))
    studio("resume", run.name, code=2)
    end_soon(run)
    stdout, stderr = first.communicate(timeout=60)
    assert first.returncode == 0
    assert json.loads(stdout)["status"] == "finished"
    assert "already" not in stderr


def test_children_of_a_worker_do_not_inherit_its_lock(studio: Studio, run: RunDirectory) -> None:
    studio("stop", run.name)
    over(run, "stopped")
    studio.worker = """
import subprocess
from tuilab.runs.training import RecordedTraining
train = RecordedTraining.train
def with_a_child(training):
    subprocess.Popen(["sleep", "600"], close_fds=False)
    return train(training)
RecordedTraining.train = with_a_child
"""
    _, pid = studio.detached("resume", run.name)
    wait(lambda: "sleep" in [process.name() for process in studio.processes()])
    kill(pid)
    assert [process.name() for process in studio.processes()] == ["sleep"]
    assert_dead(studio, run)


PATIENT = """
from tuilab.cli import main, train
train.SECONDS_TO_SEE_IT_START = 60.0
main.main()
"""


def test_a_detached_resume_knows_whether_it_goes_on(studio: Studio, run: RunDirectory) -> None:
    kill(owner_of(run).pid)

    def resume(*changes: str) -> tuple[int, str, str]:
        process = studio.tuilab.start("resume", run.name, "--detach", "--json", *changes, program=("-c", PATIENT))
        stdout, stderr = process.communicate(timeout=60)
        return process.returncode, stdout, stderr

    code, stdout, _ = resume("--set", f"training.epochs={overview(run).status.epoch + 20}")
    assert code == 0
    assert owner_of(run).pid == json.loads(stdout)["pid"]
    over(run)
    code, _, stderr = resume()
    assert code == 2
    assert "has done all its epochs" in stderr
