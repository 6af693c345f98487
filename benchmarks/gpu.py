"""Everything that can only be measured and checked on a GPU: `python -m benchmarks gpu --report FILE`.

First `tuilab devices --check` and the tests that are marked `gpu`; then training steps beside PyTorch's, eager and by
`torch.compile(mode="reduce-overhead")`, taking turns in short rounds on the same random images that lie on the GPU. A
step includes gathering its batch, and ours the loss, the accuracy and every 20 steps the statistics of every layer, as
in a real run: what is measured is `Trainer.run`. Where a row says bfloat16, ours is `training.precision` and PyTorch's
autocast; where it says float32, neither may use TF32. The fastest way of PyTorch's counts.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from io import StringIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.side_by_side import Row, show

if TYPE_CHECKING:
    from tuilab.blocks.samples import Data
    from tuilab.engine.device import Device
    from tuilab.experiment.document import Experiment

ROUNDS = 9
ROUND_SECONDS = 0.4
HOST_STEPS = 2_000
HOST_GOAL = 10e-6
ACCURACY = 0.98
ACCURACY_SECONDS = 1.0
RECORDER_GOAL = 1 / 1.02
STEP_GOAL = 60e-6
ENDLESS = "training.epochs=100000"

Advance = Callable[[int], int]
"""Does about so many steps, waits until the GPU has done them, and returns how many it were."""


@dataclass(frozen=True)
class Work:
    """One row: a network, its data and what is wanted."""

    name: str
    model: str
    overrides: tuple[str, ...]
    shape: tuple[int, ...]
    classes: int
    samples: int
    goal: float
    """The least ratio."""
    bfloat16: bool = False


WORKS = (
    Work("784-512-256-10, Adam, batch 128, float32", "mnist-mlp", (), (28, 28, 1), 10, 12_800, 1.5),
    Work("mnist-cnn, batch 128, float32", "mnist-cnn", (), (28, 28, 1), 10, 12_800, 1.3),
    Work(
        "cifar-resnet20, batch 128, without augmentation, bfloat16",
        "cifar-resnet20",
        ("data.augmentation=[]", "training.optimizer.learning_rate=0.01", "training.precision=bfloat16"),
        (32, 32, 3),
        10,
        12_800,
        1.0,
        bfloat16=True,
    ),
    Work(
        "VGG16, 224 × 224, batch 64, bfloat16",
        "vgg16",
        ("data.batch_size=64", "training.optimizer.learning_rate=0.0001", "training.precision=bfloat16"),
        (224, 224, 3),
        1000,
        256,
        0.9,
        bfloat16=True,
    ),
)


def main() -> int:
    """Check and measure; return the exit code: 1 where there is no GPU, or a check fails."""
    from tuilab.engine.device import choose_device
    from tuilab.errors import DeviceError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, help="write everything to this file too, in Markdown")
    parser.add_argument("--only", default="", help="a part of the names of what to measure")
    parser.add_argument("--no-checks", action="store_true", help="measure only")
    chosen = parser.parse_args()
    try:
        device = choose_device("gpu")
    except DeviceError as error:
        print(f"benchmarks gpu: {error}".replace("; use --device cpu", ""), file=sys.stderr)
        return 1
    report = Report(chosen.report)
    report.write(f"# tuilab on {device.card.name if device.card else device.name}\n\n{versions()}\n")
    good = chosen.no_checks or all([check(report), run_tests(report)])
    rows: list[Row] = []
    for name, measure in measurements(device).items():
        if chosen.only in name:
            try:
                rows += measure()
            except Exception as error:  # one row that fails is no reason to lose the others
                report.write(f"{name}: failed: {type(error).__name__}: {' '.join(str(error).split())[:500]}")
                good = False
            _free_memory()
    with redirect_stdout(StringIO()) as table:
        show(rows)
    report.write(f"\n## Measured\n\n{table.getvalue()}")
    return 0 if good else 1


class Report:
    """What is printed, and written to a file as it comes."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            path.write_text("")

    def write(self, text: str) -> None:
        print(text, flush=True)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(text + "\n")


def versions() -> str:
    """Return what the figures depend on."""
    from tuilab.cli.devices import describe
    from tuilab.engine.device import devices

    packages = ["tuilab", "numpy", "cupy-cuda13x", "cupy-cuda12x", "torch", "triton"]
    found = []
    for package in packages:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    lines = [time.strftime("%F"), f"Python {platform.python_version()}, {', '.join(found)}"]
    lines += [f"{row.name}: {describe(row)}" for row in devices()]
    return "\n".join(f"- {line}" for line in lines)


def check(report: Report) -> bool:
    """Compare every block with the reference, as a user would; return whether all agree."""
    done = _run("-m", "tuilab", "devices", "--check", "--device", "gpu")
    lines = [line for line in done.stdout.splitlines() if "FAILED" in line]
    said = done.stderr.strip().splitlines()[-1:]
    report.write("\n".join(["## Blocks beside the reference\n", *lines, *said]))
    return not done.returncode


def run_tests(report: Report) -> bool:
    """Run the tests that are marked gpu; return whether all pass."""
    done = _run("-m", "pytest", "-n", "0", "-q", "-m", "gpu", "tests")
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    report.write("\n".join(["\n## Tests\n", *failed, *lines[-1:]]))
    return not done.returncode


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def measurements(device: Device) -> dict[str, Callable[[], list[Row]]]:
    """Return by name what measures one or two rows."""

    def beside_pytorch(work: Work) -> Callable[[], list[Row]]:
        return lambda: [compare(work, device)]

    return {
        **{work.name: beside_pytorch(work) for work in WORKS},
        "mnist-mlp to 98 %": lambda: to_accuracy(device),
        "host time of a step": lambda: host_time(device),
        "with the recorder": with_recorder,
    }


def make(work: Work) -> tuple[Experiment, Data]:
    """Return the experiment of a row, without an end, and random images."""
    import numpy as np

    from tuilab.blocks.datasets import DataInfo
    from tuilab.blocks.samples import Data, Scaling, Split
    from tuilab.experiment.load import load_experiment

    experiment = load_experiment(work.model, [*work.overrides, ENDLESS])
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (work.samples, *work.shape), dtype=np.uint8)
    info = DataInfo(work.shape, "categorical", tuple(map(str, range(work.classes))))
    scaling = Scaling(np.zeros((), "float32"), np.asarray(1 / 255, "float32"))
    split = Split(images, generator.integers(0, work.classes, work.samples))
    return experiment, Data(info, split, None, None, scaling)


def compare(work: Work, device: Device) -> Row:
    """Measure our steps and PyTorch's in turns."""
    experiment, data = make(work)
    runners = {"tuilab": our_steps(experiment, data, device), **torch_runners(experiment, data, work.bfloat16)}
    counts = {}
    for name, advance in runners.items():
        advance(50)  # compiles, records and grows into its memory
        started = perf_counter()
        done = advance(50)
        counts[name] = max(20, int(ROUND_SECONDS / (perf_counter() - started) * done))
    rounds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, advance in runners.items():
            started = perf_counter()
            done = advance(counts[name])
            rounds[name].append((perf_counter() - started) / done)
    medians = {name: statistics.median(found) for name, found in rounds.items()}
    peers = {name: median for name, median in medians.items() if name != "tuilab"}
    best = min(peers, key=lambda name: peers[name])
    ratios = sorted(theirs / ours for ours, theirs in zip(rounds["tuilab"], rounds[best], strict=True))
    return Row(work.name, medians["tuilab"], peers, peers[best] / medians["tuilab"], ratios[0], ratios[-1], work.goal)


def our_steps(experiment: Experiment, data: Data, device: Device) -> Advance:
    """Return what goes on with one of our trainings."""
    from tuilab.engine.trainer import Trainer

    trainer = Trainer(experiment, data, device)
    events = trainer.run()

    def advance(steps: int) -> int:
        first = trainer.step
        while trainer.step < first + steps:
            next(events)
        if device.card is not None:
            synchronize()
        return trainer.step - first

    return advance


def synchronize() -> None:
    """Wait until the GPU has done what it was told."""
    import cupy

    cupy.cuda.Device().synchronize()


def torch_runners(experiment: Experiment, data: Data, bfloat16: bool, device: str = "cuda") -> dict[str, Advance]:
    """Return each way in which PyTorch may do the same."""
    ways = {"PyTorch": (False, False), "PyTorch compiled": (True, False)}
    if len(data.info.input_shape) == 3 and experiment.layers[0].type_name() != "dense":
        ways |= {"PyTorch channels last": (False, True), "PyTorch compiled, channels last": (True, True)}
    return {
        name: torch_steps(experiment, data, bfloat16, compiled, last, device) for name, (compiled, last) in ways.items()
    }


def torch_steps(
    experiment: Experiment, data: Data, bfloat16: bool, compiled: bool, channels_last: bool, device: str
) -> Advance:
    """Return what goes on with one of PyTorch's trainings."""
    import torch

    from benchmarks.torch_networks import network
    from tuilab.experiment.plan import plan

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = bfloat16
    torch.backends.cudnn.benchmark = True
    planned = plan(experiment, data.info)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = network(planned.layers).to(device, memory_format=layout)
    optimizer = torch_optimizer(experiment, model)
    images, labels = torch.from_numpy(data.train.features).to(device), torch.from_numpy(data.train.targets).to(device)
    vectors, size, samples = len(planned.input_shape) == 1, experiment.data.batch_size, len(data.train)
    order = torch.randperm(samples, device=device)
    total, right = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
    loss_function, done = torch.nn.CrossEntropyLoss(), 0

    def forward(inputs: Any, target: Any) -> tuple[Any, Any]:
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            logits = model(inputs)
            return loss_function(logits, target), logits

    run = torch.compile(forward, mode="reduce-overhead") if compiled else forward

    def step() -> None:
        nonlocal done
        start = done * size % samples
        done += 1
        rows = order[start : start + size]
        inputs, target = images[rows], labels[rows]
        inputs = inputs.reshape(len(rows), -1) if vectors else inputs.permute(0, 3, 1, 2)
        inputs = inputs.float().mul_(1 / 255)
        if not vectors:
            inputs = inputs.contiguous(memory_format=layout)
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad()
        loss, logits = run(inputs, target)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            total.add_(loss.detach() * len(target))
            right.add_((logits.argmax(1) == target).sum())

    def advance(steps: int) -> int:
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        return steps

    return advance


def torch_optimizer(experiment: Experiment, model: Any) -> Any:
    """Return the same optimizer, fused."""
    import torch

    chosen: Any = experiment.training.optimizer
    if chosen.type_name() == "adam":
        return torch.optim.Adam(model.parameters(), lr=0.001, eps=chosen.epsilon, fused=True)
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=chosen.momentum, fused=True)


def to_accuracy(device: Device) -> list[Row]:
    """Return how long mnist-mlp trains until it has 98 % on the test set, which is looked at after every epoch and not
    counted."""
    from tuilab.data.load import load
    from tuilab.engine.events import EpochDone
    from tuilab.engine.trainer import Trainer
    from tuilab.experiment.load import load_experiment

    experiment = load_experiment("mnist-mlp", [])
    data = load(experiment.data, experiment.seed)
    assert data.test is not None
    for _ in range(2):  # the first one compiles
        trainer, seconds, found = Trainer(experiment, data, device), 0.0, 0.0
        for event in trainer.run():
            if isinstance(event, EpochDone):
                seconds += event.seconds
                found = trainer.evaluate(data.test)["accuracy"]
                if found >= ACCURACY:
                    break
    name = f"mnist-mlp to 98 % on the test set, {trainer.epoch} epochs, {found:.2%}, wanted in {ACCURACY_SECONDS:g} s"
    reached = ACCURACY_SECONDS / seconds if found >= ACCURACY else 0.0
    return [Row(name, seconds, {}, reached, reached, reached, 1.0)]


def host_time(device: Device) -> list[Row]:
    """Return what a step takes of the host's time, beside that of a step at all: what is not spent waiting for the GPU
    when results are read."""
    from tuilab.engine.trainer import Trainer

    work = WORKS[0]
    experiment, data = make(work)
    trainer = Trainer(experiment, data, device)
    events, ops, waited = trainer.run(), trainer.device.ops, 0.0
    read = ops.to_host

    def read_and_wait(array: Any) -> Any:
        nonlocal waited
        started = perf_counter()
        synchronize()
        waited += perf_counter() - started
        return read(array)

    ops.to_host = read_and_wait  # type: ignore[method-assign]
    try:
        _until(trainer, events, 200)
        waited, started, first = 0.0, perf_counter(), trainer.step
        _until(trainer, events, HOST_STEPS)
        took, steps = perf_counter() - started, trainer.step - first
    finally:
        ops.to_host = read  # type: ignore[method-assign]
    host = (took - waited) / steps
    rows = [Row(f"{work.name}: the host's part of a step", host, {}, HOST_GOAL / host, 0, 0, 1.0)]
    step = took / steps
    return [*rows, Row(f"{work.name}: a step, wanted in 60 µs", step, {}, STEP_GOAL / step, 0, 0, 1.0)]


def _until(trainer: Any, events: Iterator[Any], steps: int) -> None:
    end = trainer.step + steps
    while trainer.step < end:
        next(events)


def with_recorder() -> list[Row]:
    """Return what a recorder that writes into a run costs, by turns with and without it."""
    from benchmarks.recorder import measure

    with tempfile.TemporaryDirectory() as folder:
        pairs = measure("mnist-mlp", 3, ROUNDS, Path(folder), "gpu")
    ratios = sorted(without.clock / with_.clock for without, with_ in pairs)
    seconds = statistics.median(with_.clock / with_.steps for _, with_ in pairs)
    ratio = statistics.median(ratios)
    return [Row("mnist-mlp, a step with the recorder", seconds, {}, ratio, ratios[0], ratios[-1], RECORDER_GOAL)]


def _free_memory() -> None:
    """Give back what one row has taken, before the next."""
    import gc

    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
