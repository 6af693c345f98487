"""The process that trains one run: `worker RUN [KEY=VALUE]…`, in a session of its own, without a terminal.

What goes wrong ends with `tuilab[PID]: …` in worker.log, an exit code and, once the training has begun, a state in the
database. Nothing heavy is imported before the number of threads is settled.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tuilab.engine.threads import count_threads, settle_threads
from tuilab.errors import DeviceFailure, TuilabError, UsageError
from tuilab.runs.directory import RunDirectory
from tuilab.runs.lock import Lock
from tuilab.text import clean_text

if TYPE_CHECKING:
    from tuilab.engine.failures import Wanted
    from tuilab.engine.trainer import Trainer
    from tuilab.runs.recorder import Recorder
    from tuilab.runs.training import RecordedTraining

EXIT_CODES = {"finished": 0, "diverged": 3, "stopped": 4}
INTERRUPTED = 4
NOTHING_RECORDED = {"series": {}, "looks": 0, "looks_level": 0}
SECONDS_BETWEEN_READING = 5.0
"""From one word about it to the next."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def main(run: str, *overrides: str) -> int:
    """Train the run in this folder, from its newest checkpoint where it has one; return the exit code."""
    faulthandler.enable()
    logging.raiseExceptions = False  # a full disk must not end a training because of its log
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s  %(message)s", datefmt="%F %T")
    signals = Signals()
    worker = Worker(RunDirectory(Path(run)), list(overrides), signals)
    try:
        with worker.run.hold() as lock:
            worker.run.sweep()
            return worker.work(lock)
    except TuilabError as error:
        return _report(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _report("interrupted", INTERRUPTED)


class Signals:
    """SIGTERM, SIGUSR1 and SIGINT end the training after the current step, a second SIGINT at once; SIGHUP does
    nothing."""

    def __init__(self) -> None:
        self.reason = ""
        self.training: RecordedTraining | None = None
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # they have waited since before it was launched

    def _stop(self, number: int, _: object) -> None:
        self.reason = f"{signal.Signals(number).name} was received"
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.training is not None:
            self.training.stop(self.reason)


class Worker:
    """One run, from the folder to its end."""

    def __init__(self, run: RunDirectory, overrides: list[str], signals: Signals) -> None:
        self.run = run
        self.overrides = overrides
        self.signals = signals
        self.recorder: Recorder | None = None
        """There once the run's state is this worker's to tell."""
        self.data_bytes = 0
        """That the samples take on the device."""
        self._tell_next = 0.0

    def work(self, lock: Lock) -> int:
        """Prepare and train; return the exit code. Whatever happens is in the database where it can be."""
        try:
            self._save_from_damage()
            self._pin_threads()
            from tuilab.engine.failures import device_failures_told

            if not self.run.checkpoints():
                self._record(lock)
            with device_failures_told(self._wanted):
                return self._train(self._prepare(lock))
        except DeviceFailure as error:
            traceback.print_exc()
            return self._fail(f"{error}{self._elsewhere()}", error.exit_code)
        except TuilabError as error:
            return self._fail(str(error), error.exit_code)
        except MemoryError as error:
            return self._fail(f"not enough memory: {error}{self._memory_needed()}", 1)
        except KeyboardInterrupt:
            return self._fail("interrupted at once, without a checkpoint", INTERRUPTED)
        except Exception as error:
            traceback.print_exc()
            return self._fail(f"{type(error).__name__}: {error}; worker.log says where", 1)
        finally:
            if self.recorder is not None:
                self.recorder.close()

    def _prepare(self, lock: Lock) -> RecordedTraining:
        """Load everything and bring it to where the run stands; a run that cannot go on is left as it is."""
        from tuilab.data.load import load
        from tuilab.engine.device import choose_device
        from tuilab.engine.trainer import Trainer
        from tuilab.experiment.load import load_experiment
        from tuilab.experiment.save import to_toml
        from tuilab.runs.training import RecordedTraining, resume_from_checkpoint, write_facts

        experiment = load_experiment(self.run.experiment_file, self.overrides)
        data = load(experiment.data, experiment.seed, report=self._reading)
        splits = [split for split in (data.train, data.validation) if split is not None]
        self.data_bytes = sum(split.features.nbytes + split.targets.nbytes for split in splits)
        device = choose_device(experiment.training.device)
        trainer = Trainer(experiment, data, device)
        stored, said = resume_from_checkpoint(self.run, trainer)
        if device.reason:
            said.append(device.reason)
        self._check_there_is_more(trainer)
        recorder = self._record(lock)
        if device.card is not None:
            recorder.watch(device.card.bus)
        training = RecordedTraining(self.run, trainer, recorder, lock)
        if stored:
            before = stored["fingerprint"]
            changed = [name for name, value in training.fingerprint.items() if before.get(name) != value]
            if changed:
                said.append(f"numbers may differ from a run without interruption: other {', '.join(changed)}")
            said.append(f"goes on after step {trainer.step:,}, in epoch {trainer.epoch + 1}")
        recorder.rewind(stored.get("recorder", NOTHING_RECORDED), trainer.history)
        recorder.update(step=trainer.step, epoch=trainer.epoch, train=None, validation=None, test=None)
        for line in said:
            recorder.tell("state", line)
        recorder.write(durable=True)
        self.run.rewind(trainer.step)
        self.run.write_text("experiment.toml", to_toml(experiment))
        write_facts(self.run, data.info, data.scaling)
        return training

    def _reading(self, share: float) -> None:
        """Say, now and then, how far the look through samples on disk is."""
        now = time.monotonic()
        if self.recorder is not None and now >= self._tell_next:
            if self._tell_next:
                self.recorder.tell("state", f"looks through the samples: {share:.0%}")
                self.recorder.write()
            self._tell_next = now + SECONDS_BETWEEN_READING

    def _train(self, training: RecordedTraining) -> int:
        from tuilab.runs.training import Killed

        self.signals.training = training
        if self.signals.reason:
            training.stop(self.signals.reason)
        try:
            return EXIT_CODES[training.train()]
        except Killed:
            training.recorder.enter("stopped", "killed by a command")
            training.recorder.write(durable=True)
            return INTERRUPTED

    def _check_there_is_more(self, trainer: Trainer) -> None:
        from tuilab.runs.reader import following

        epochs = trainer.experiment.training.epochs
        with following(self.run) as reader:
            over = reader.status().state == "finished"
        if over and trainer.epoch >= epochs:
            wanted = f"--set training.epochs={2 * epochs}"
            raise UsageError(f"run {clean_text(self.run.name)} has done all its epochs; more with {wanted}")

    def _record(self, lock: Lock) -> Recorder:
        """Begin to write the run's database."""
        from tuilab.runs.reader import following
        from tuilab.runs.recorder import Recorder

        if self.recorder is None:
            with following(self.run) as reader:
                status = reader.status()
            owner, threads = lock.owner, count_threads()
            changes = {"threads": threads, "host": owner.host, "pid": owner.pid, "state": "running", "reason": ""}
            self.recorder = Recorder(self.run.path, status.model_copy(update=changes))
        return self.recorder

    def _save_from_damage(self) -> None:
        """Put a database that cannot be read aside, and begin a new one: the checkpoints hold what training needs."""
        from tuilab.experiment.load import load_experiment
        from tuilab.runs import database
        from tuilab.runs.reader import following

        try:
            database.recover(self.run.path)
            with following(self.run) as reader:
                reader.status()
        except UsageError as error:
            logging.getLogger("tuilab.run").info(f"{error}; put aside as damaged.db, a new one is begun")
            for path in self.run.path.glob(f"{database.FILE}*"):
                path.rename(path.with_name(path.name.replace(database.FILE, "damaged.db")))
            self.run.create_database(load_experiment(self.run.experiment_file).name)

    def _pin_threads(self) -> None:
        """Settle how many threads are used, before the linear algebra is loaded: the bits of its results depend on it.
        A run keeps its number."""
        from tuilab.runs.reader import following

        with following(self.run) as reader:
            threads = reader.status().threads
        settle_threads(threads or count_threads())

    def _memory_needed(self) -> str:
        """Say how much memory this experiment takes, as far as that can be said."""
        from tuilab.experiment.plan import memory_bytes

        wanted = self._wanted()
        if wanted is None:
            return ""
        needed = memory_bytes(wanted.plan, wanted.experiment)
        smaller = "a smaller data.batch_size or smaller layers need less"
        return f"; training takes {needed / 1e9:.1f} GB beside the data, {smaller}"

    def _wanted(self) -> Wanted | None:
        """Return what was to be trained, None where that cannot be said."""
        from tuilab.data.load import describe
        from tuilab.engine.failures import Wanted
        from tuilab.experiment.load import load_experiment
        from tuilab.experiment.plan import plan

        try:
            experiment = load_experiment(self.run.experiment_file, self.overrides)
            return Wanted(plan(experiment, describe(experiment.data)), experiment, self.data_bytes)
        except TuilabError:
            return None

    def _elsewhere(self) -> str:
        """Say how a run whose device has failed goes on."""
        if not self.run.checkpoints() and not (self.recorder is not None and self.recorder.status.step):
            return ""
        name, wanted = clean_text(self.run.name), self._wanted()
        settings = "--set training.device=cpu"
        if wanted is not None and wanted.experiment.training.precision != "float32":
            settings += " --set training.precision=float32"
        return f"; go on: tuilab resume {name}, or on the CPU: tuilab resume {name} {settings}"

    def _fail(self, reason: str, code: int) -> int:
        if self.recorder is not None:
            self.recorder.enter(
                "stopped" if code == INTERRUPTED else "failed", clean_text(" ".join(reason.split()), 1000)
            )
            try:
                self.recorder.write(durable=True)
            except TuilabError as error:
                _report(f"the state of the run could not be written: {error}", code)
        return _report(reason, code)


def _report(message: str, code: int) -> int:
    try:
        for line in message.splitlines():
            print(f"tuilab[{os.getpid()}]: {line}", file=sys.stderr, flush=True)
    except OSError:  # a full disk: what cannot be said must not change the exit code either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return code
