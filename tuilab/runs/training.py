"""One training with its run folder: recorded, steered from outside, gone on with after an interruption."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np

from tuilab import __version__
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Scaling
from tuilab.blocks.schedules import Constant, Schedule
from tuilab.engine.checkpoint import restore
from tuilab.engine.device import Device, compilations, processor
from tuilab.engine.events import EpochDone, LayersSeen, StepsDone, TrainingDone, UpdatesSkipped
from tuilab.engine.gpu import CUDNN_PACKAGES
from tuilab.engine.trainer import Trainer
from tuilab.errors import BusyError, DiskFullError, ExperimentError, UsageError
from tuilab.experiment.document import Training
from tuilab.experiment.load import apply_override, make_experiment
from tuilab.experiment.save import short, to_document, to_toml
from tuilab.runs.checkpoints import WEIGHTS, load_checkpoint, resumable_checkpoints, save_checkpoint
from tuilab.runs.commands import Command, Inbox
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import Lock
from tuilab.runs.recorder import Recorder
from tuilab.runs.status import State, finite
from tuilab.runs.tensors import MOST_HEADER_BYTES
from tuilab.runs.weights import load_weights
from tuilab.text import clean_text

SECONDS_BETWEEN_CHECKPOINTS = 30.0
CHECKPOINT_SHARE = 0.01
"""Of the time that writing checkpoints may take: where one takes long, there are fewer."""
SECONDS_BETWEEN_LOOKS = 0.02
"""Into the folder of commands."""
SECONDS_BETWEEN_HEARTBEATS = 1.0
SECONDS_BETWEEN_COMPILING = 2.0
"""From one message to the next."""
SECONDS_BETWEEN_TRIES = 1.0
"""To write to a full disk."""
FULL = "the disk is full, training goes on when there is space", "the disk was full"
LOCKED = (
    "another program keeps the database locked, training goes on when it is free",
    "another program kept the database locked",
)
FIRST = "step-000000"
"""Checkpoint of a run that was made with weights from elsewhere, and not trained since."""
SHORT_KEYS = {"learning_rate": "training.optimizer.learning_rate", "epochs": "training.epochs"}


class Killed(Exception):
    """The command to end at once."""


class RecordedTraining:
    """Trains, records, writes checkpoints and does what it is told, from the first step or from a checkpoint."""

    def __init__(self, run: RunDirectory, trainer: Trainer, recorder: Recorder, lock: Lock) -> None:
        self.run = run
        self.trainer = trainer
        self.recorder = recorder
        self.lock = lock
        self.inbox = Inbox(run)
        self.fingerprint = fingerprint(recorder.status.threads, trainer.device)
        self.pause_after: int | None = None
        """The step after which the training waits; None where it runs on."""
        self.stop_after_epoch = False
        self.give_up = False
        """Do not wait for space on the disk any longer."""
        self._told_one_by_one = False
        self._remarks_told = 0
        self._next_look = self._told_of_compiling = 0.0
        self._next_checkpoint = perf_counter() + SECONDS_BETWEEN_CHECKPOINTS

    def stop(self, reason: str) -> None:
        """End after the step that is being done, with a checkpoint; may be called at any moment."""
        self.give_up = True
        self.trainer.stop(reason)

    def train(self) -> State:
        """Train to the end, and return how it ended.

        Raises DiskFullError where a full disk was waited for until somebody asked to stop, Killed on that command.
        """
        for name, _ in self.inbox.take(most=None):
            self.recorder.answer(name, "an old command", False, "was sent when nobody trained this run")
        with compilations(self.trainer.device.ops, self._compiling):
            return self._train()

    def _train(self) -> State:
        for event in self.trainer.run():
            self.recorder.record(event)
            self._tell_remarks()
            if isinstance(event, TrainingDone):
                return self._complete(event)
            if self.recorder.due():
                self._write(self.recorder.write)
            if isinstance(event, LayersSeen):
                continue  # losses of this and earlier steps are not told yet, a checkpoint now would lose them
            if self.trainer.one_by_one and not self._told_one_by_one:
                self._told_one_by_one = True
                self.recorder.tell("state", f"starts the steps one by one, which is slower: {self.trainer.one_by_one}")
            if isinstance(event, UpdatesSkipped):
                self.recorder.tell("state", str(event))
            if isinstance(event, EpochDone):
                self._epoch_done(event)
            if perf_counter() >= self._next_checkpoint:
                self._checkpoint()
            self._obey()
            if isinstance(event, (StepsDone, EpochDone)):
                self._wait_while_paused()
        raise AssertionError("a training ends with TrainingDone")

    def _tell_remarks(self) -> None:
        remarks = self.trainer.device.ops.remarks
        for remark in remarks[self._remarks_told :]:
            self.recorder.tell("state", remark)
        self._remarks_told = len(remarks)

    def _compiling(self, count: int) -> None:
        """Say that the training waits for the compiler, now and then."""
        now = perf_counter()
        if count > 1 and now - self._told_of_compiling < SECONDS_BETWEEN_COMPILING:
            return
        self._told_of_compiling = now
        said = f"{count - 1} compiled" if count > 1 else "once for this machine"
        self.recorder.tell("state", f"compiling kernels: {said}")
        self._write(self.recorder.write)

    def _epoch_done(self, event: EpochDone) -> None:
        every = self.trainer.experiment.training.checkpoint_every
        if every is not None and event.epoch % every == 0:
            self._checkpoint()
        if self.stop_after_epoch:
            self.trainer.stop("it was asked to stop at the end of the epoch")

    def _wait_while_paused(self) -> None:
        trainer = self.trainer
        if self.pause_after is None or trainer.step < self.pause_after or trainer.stopping:
            return
        began = perf_counter()
        self._enter("paused", "by a command")
        beat = time.monotonic()
        while self.pause_after is not None and trainer.step >= self.pause_after and not trainer.stopping:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            self._obey()
            if time.monotonic() - beat >= SECONDS_BETWEEN_HEARTBEATS:
                beat = time.monotonic()
                self._write(self.recorder.write)
        trainer.leave_out(perf_counter() - began)
        if self.pause_after is None:
            self._enter("running")

    def _enter(self, state: State, reason: str = "") -> None:
        self.recorder.enter(state, reason)
        self._write(lambda: self.recorder.write(durable=True))

    def _checkpoint(self, resumable: bool = True) -> None:
        started = perf_counter()
        self._write(lambda: self.recorder.write(durable=True))  # what the checkpoint counts on is on the disk
        state = self.recorder.state()
        self._write(lambda: save_checkpoint(self.run, self.trainer, self.fingerprint, state, resumable))
        self.recorder.tell("checkpoint", f"checkpoint after step {self.trainer.step:,}")
        taken = perf_counter() - started
        self._next_checkpoint = perf_counter() + max(SECONDS_BETWEEN_CHECKPOINTS, taken / CHECKPOINT_SHARE)

    def _write(self, action: Callable[[], None]) -> None:
        """Do what needs the disk; while it is full, or somebody keeps the database locked, training waits for that to
        end, a command or a signal."""
        began, trouble = perf_counter(), ""
        while True:
            try:
                action()
                break
            except (DiskFullError, BusyError) as error:
                now, then = FULL if isinstance(error, DiskFullError) else LOCKED
                if self.give_up:
                    self.lock.report(f"stopped while {then}: {error}")
                    raise
                if then != trouble:
                    self.lock.report(f"{now}: {error}")
                trouble = then
                self._wait_for_space()
        if trouble:
            self.trainer.leave_out(perf_counter() - began)
            self.lock.report("")
            self.recorder.tell("state", f"{trouble} for {perf_counter() - began:.0f} s")

    def _wait_for_space(self) -> None:
        """Wait a little. Answers cannot be written now: only commands that matter now are looked at, and remain."""
        until = time.monotonic() + SECONDS_BETWEEN_TRIES
        while time.monotonic() < until and not self.give_up:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            for command in self.inbox.peek():
                if command.action == "kill":
                    raise Killed
                if command.action == "stop":
                    self.stop("it was asked to stop")
                if command.action == "resume":
                    until = 0.0

    def _obey(self) -> None:
        """Do what others have asked for."""
        if time.monotonic() < self._next_look:
            return
        for name, command in self.inbox.take():
            accepted, answer = False, str(command)
            if isinstance(command, Command):
                try:
                    accepted, answer = True, self._do(command)
                except (ValueError, UsageError, ExperimentError) as error:
                    accepted, answer = False, " ".join(str(error).split())
            what = str(command) if isinstance(command, Command) else "not a command"
            self.recorder.answer(name, what, accepted, clean_text(answer, 1000))
            self._write(lambda: self.recorder.write(durable=True))
            if isinstance(command, Command) and command.action == "kill":
                raise Killed
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS

    def _do(self, command: Command) -> str:
        """Do one command, and return what is to be said about it; raises what says why it cannot be done."""
        trainer = self.trainer
        if command.action == "set":
            return self._set(SHORT_KEYS.get(command.key, command.key), command.value)
        if command.key or command.value:
            raise ValueError(f"{command.action} takes no key and no value")
        if command.action == "pause":
            self._pause_after(trainer.step)
            return f"paused after step {trainer.step:,}"
        if command.action == "step":
            self._pause_after(trainer.step + 1)
            return f"does step {trainer.step + 1:,} and pauses"
        if command.action == "resume":
            paused = self.pause_after is not None
            self._pause_after(None)
            return f"goes on after step {trainer.step:,}" if paused else "is running already"
        if command.action == "stop":
            self.stop("it was asked to stop")
            return f"stops after step {trainer.step:,}"
        if command.action == "stop_after_epoch":
            self.stop_after_epoch = True
            return f"stops after epoch {trainer.epoch + 1}"
        if command.action == "checkpoint":
            self._checkpoint()
            return f"checkpoint after step {trainer.step:,}"
        return f"killed after step {trainer.step:,}"

    def _pause_after(self, step: int | None) -> None:
        self.pause_after = step
        self.trainer.step_by_step = step is not None

    def _set(self, key: str, value: str) -> str:
        """Change a setting from the next step on. The checkpoint that goes with it is written first: whenever the
        worker dies, the run goes on either as if it had not been asked, or with the change at this very step."""
        before = self.trainer.experiment.training
        document = to_document(self.trainer.experiment)
        apply_override(document, f"{key}={value}")
        self.trainer.change(make_experiment(document))
        now = self.trainer.experiment.training
        self.recorder.update(epochs=now.epochs)
        if isinstance(now.optimizer.learning_rate, Constant):  # known before the next step, for which a pause may wait
            self.recorder.update(learning_rate=now.optimizer.learning_rate.learning_rate)
        self._checkpoint()
        self._write(lambda: self.run.write_text("experiment.toml", to_toml(self.trainer.experiment)))
        return f"{', '.join(_changes(before, now)) or 'nothing changed'} after step {self.trainer.step:,}"

    def _complete(self, done: TrainingDone) -> State:
        trainer = self.trainer
        self._checkpoint(resumable=done.status != "diverged")
        results: dict[str, Any] = {}
        if done.status != "stopped":  # whoever stops a training does not want to wait
            data = trainer.data
            parts = {"train": data.train, "validation": data.validation, "test": data.test}
            results = {name: finite(trainer.evaluate(split)) for name, split in parts.items() if split}
        self.recorder.update(seconds=done.seconds, epoch=done.epoch, step=done.step, **results)
        self._enter(done.status, done.reason)
        return done.status


def resume_from_checkpoint(run: RunDirectory, trainer: Trainer) -> tuple[dict[str, Any], list[str]]:
    """Bring a new trainer to the newest good checkpoint of its run; return what else is stored there, and what there is
    to say about it. A run that has none yet begins with its first step.

    Raises UsageError where all are damaged, or the experiment does not fit.
    """
    said = []
    folders = resumable_checkpoints(run)
    largest = MOST_HEADER_BYTES + 2 * sum(array.nbytes for array in trainer.lasting_arrays().values())
    for folder in folders:
        try:
            checkpoint, others = load_checkpoint(folder, largest)
        except ValueError as error:
            said.append(f"{folder.name} is left out: {error}")
            continue
        try:
            restore(trainer, checkpoint)
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"run {clean_text(run.name)} cannot go on with these settings: {error}") from None
        return others, said
    start = run.checkpoints()[:1]
    if not folders and start and start[0].name == FIRST:
        load_weights(trainer.network, start[0] / WEIGHTS)
        trainer.best_values[...] = trainer.network.arena.values
        return {}, ["begins with the weights that the run was made with"]
    if folders:
        hint = f"start anew with: tuilab train {clean_text(str(run.experiment_file))}"
        raise UsageError("\n".join([*said, f"run {clean_text(run.name)} has no checkpoint to go on from; {hint}"]))
    return {}, []


def fingerprint(threads: int, device: Device) -> dict[str, Any]:
    """Return what must be the same for a resumed training to give the same bytes."""
    cudnn = {} if device.card is None else {"cuDNN": [_version(package) for package in CUDNN_PACKAGES]}
    return {
        "tuilab": __version__,
        "NumPy": np.__version__,
        "numba": _version("numba"),
        "processor": processor(),
        "number of threads": threads,
        "device": device.name if device.card is None else device.card.name,
        **cudnn,
    }


def _version(package: str) -> str:
    """Return the version of a package that is loaded when it is needed; "none" where it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def write_facts(run: RunDirectory, info: DataInfo, scaling: Scaling | None) -> None:
    """Write what predictions need to know of the data."""
    facts = {"info": info.to_dict(), "scaling": scaling.to_dict() if scaling else None}
    run.write_text("data.json", json.dumps(facts, indent=1))


def _changes(before: Training, now: Training) -> Iterator[str]:
    if before.epochs != now.epochs:
        yield f"epochs {before.epochs} → {now.epochs}"
    if before.optimizer != now.optimizer:
        yield f"learning rate {_rate(before.optimizer.learning_rate)} → {_rate(now.optimizer.learning_rate)}"


def _rate(schedule: Schedule) -> str:
    return f"{schedule.learning_rate:g}" if isinstance(schedule, Constant) else short(schedule)
