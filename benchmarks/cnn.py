"""Convolutional networks beside PyTorch: `python -m benchmarks.cnn`.

A training step of mnist-cnn and of cifar-vgg, and the forward and backward pass of single layers of VGG16. All run on
the same random images with the same number of threads and take turns in short rounds, so that a change in the machine's
speed meets all; the table shows the median time of a step, and PyTorch's ÷ ours. PyTorch runs eagerly with its fused
Adam, once with its default layout and once with channels last; the faster one counts. A step includes gathering its
batch from 8-bit images, and our loss, accuracy and statistics of every layer as in a real run.

`--memory` trains mnist-cnn at batch 128 in processes of their own instead, and shows the most memory that each held.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

SAMPLES = 3_200
ROUNDS = 9
ROUND_SECONDS = 0.4
LAYER_BATCH = 8
LAYERS = [(56, 128), (28, 256), (14, 512)]
"""Height and width, channels in and out."""

Step = Callable[[], None]
Table = dict[str, Any]


def conv(filters: int, **settings: Any) -> Table:
    return {"type": "conv2d", "filters": filters, "kernel_size": 3, **settings}


def dense(units: int, activation: str) -> Table:
    return {"type": "dense", "units": units, "activation": activation}


NETWORKS: dict[str, tuple[tuple[int, int, int], list[Table]]] = {
    "mnist-cnn": (
        (28, 28, 1),
        [
            conv(32, activation="relu"),
            conv(64, activation="relu"),
            {"type": "max_pooling2d"},
            {"type": "dropout", "rate": 0.25},
            {"type": "flatten"},
            dense(128, "relu"),
            {"type": "dropout", "rate": 0.5},
            dense(10, "softmax"),
        ],
    ),
    "cifar-vgg": (
        (32, 32, 3),
        [
            *(
                layer
                for filters in (32, 64, 128)
                for layer in [
                    conv(filters, padding="same"),
                    {"type": "batch_normalization"},
                    {"type": "activation", "activation": "relu"},
                ]
                * 2
                + [{"type": "max_pooling2d"}]
            ),
            {"type": "flatten"},
            dense(10, "softmax"),
        ],
    ),
}
"""Input shape and layers."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="batch size of the networks")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of all")
    parser.add_argument("--only", help="a part of the names of what to measure")
    parser.add_argument("--memory", action="store_true", help="show memory instead of time")
    parser.add_argument("--held-by", choices=["tuilab", "torch"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(chosen.threads)  # read when numpy and torch are imported, below
    if chosen.held_by:
        print(_memory_held(chosen.held_by, chosen.threads))
    elif chosen.memory:
        _compare_memory(chosen.threads)
    else:
        _compare_time(chosen.batch, chosen.threads, chosen.only or "")


def _compare_time(batch: int, threads: int, only: str) -> None:
    torch = _torch(threads)
    import numpy as np

    print(f"{threads} threads; NumPy {np.__version__}, PyTorch {torch.__version__}")
    print(f"{'':<30}{'tuilab ms':>12}{'PyTorch ms':>12}{'layout':>15}{'ratio':>8}   spread over {ROUNDS} rounds")
    for name, make in _workloads(batch).items():
        if only in name:
            _show(name, *make())


def _workloads(batch: int) -> dict[str, Callable[[], tuple[Step, Step, Step]]]:
    """Return by name what makes our step, PyTorch's, and PyTorch's with channels last."""

    def network(name: str) -> tuple[Step, Step, Step]:
        return our_step(name, batch), torch_step(name, batch, False), torch_step(name, batch, True)

    def layer(size: int, channels: int) -> tuple[Step, Step, Step]:
        last = torch_layer(size, channels, True)
        return our_layer(size, channels), torch_layer(size, channels, False), last

    return {
        **{f"{name}, batch {batch}": lambda name=name: network(name) for name in NETWORKS},  # type: ignore[misc]
        **{
            f"conv2d {size}×{size}×{channels}, batch {LAYER_BATCH}": lambda shape=(size, channels): layer(*shape)  # type: ignore[misc]
            for size, channels in LAYERS
        },
    }


def _show(name: str, *steps: Step) -> None:
    ours, *theirs = _alternate(*steps)
    best = min(range(2), key=lambda layout: statistics.median(theirs[layout]))
    ratios = sorted(slow / fast for fast, slow in zip(ours, theirs[best], strict=True))
    fast, slow = statistics.median(ours), statistics.median(theirs[best])
    print(
        f"{name:<30}{fast * 1e3:>12.1f}{slow * 1e3:>12.1f}{('default', 'channels last')[best]:>15}{slow / fast:>8.2f}"
        f"   {ratios[0]:.2f} to {ratios[-1]:.2f}",
        flush=True,
    )


def _alternate(*steps: Step) -> list[list[float]]:
    """Return for each function the median seconds of a call in every round, after a warm-up."""
    counts = []
    for step in steps:
        step()
        start = perf_counter()
        step()
        counts.append(max(3, int(ROUND_SECONDS / (perf_counter() - start))))
    medians: list[list[float]] = [[] for _ in steps]
    for _ in range(ROUNDS):
        for step, count, found in zip(steps, counts, medians, strict=True):
            times = []
            for _ in range(count):
                start = perf_counter()
                step()
                times.append(perf_counter() - start)
            found.append(statistics.median(times))
    return medians


def _compare_memory(threads: int) -> None:
    print("mnist-cnn, batch 128: the most memory held by a process that trains 20 steps")
    for who in ("tuilab", "torch"):
        command = [sys.executable, "-m", "benchmarks.cnn", "--held-by", who, "--threads", str(threads)]
        held = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{who:>8} {held / 2**20:8.0f} MiB")


def _memory_held(who: str, threads: int) -> int:
    """Return the bytes that this process held at most, after 20 steps."""
    import resource

    if who == "torch":
        _torch(threads)
    step = our_step("mnist-cnn", 128) if who == "tuilab" else torch_step("mnist-cnn", 128, False)
    for _ in range(20):
        step()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


def _torch(threads: int) -> Any:
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks.cnn: compares with PyTorch, which is not installed (pip install torch==2.13.0)")
    torch.set_num_threads(threads)
    return torch


def _images(shape: tuple[int, int, int]) -> tuple[Any, Any]:
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (SAMPLES, *shape), dtype=np.uint8)
    return images, generator.integers(0, 10, SAMPLES)


def our_step(name: str, batch: int) -> Step:
    """Return a function that does our next training step."""
    import numpy as np

    from tuilab.blocks.datasets import DataInfo
    from tuilab.blocks.samples import Data, Scaling, Split
    from tuilab.engine.device import choose_device
    from tuilab.engine.trainer import Trainer
    from tuilab.experiment.document import Experiment

    shape, layers = NETWORKS[name]
    experiment = Experiment.model_validate(
        {
            "data": {"dataset": "mnist", "batch_size": batch},
            "layers": layers,
            "training": {"loss": "categorical_crossentropy", "optimizer": "adam", "metrics": ["accuracy"]},
        }
    )
    info = DataInfo(shape, "categorical", tuple(map(str, range(10))))
    scaling = Scaling(np.zeros((), "float32"), np.asarray(1 / 255, "float32"))
    trainer = Trainer(experiment, Data(info, Split(*_images(shape)), None, None, scaling), choose_device("cpu"))
    every = experiment.training.statistics_every

    def step() -> None:
        watched = trainer.step % every == 0
        trainer.network.clock.step = trainer.step
        watchers = [trainer.statistics] if watched else []
        trainer.train_batch(*trainer.train.batch(trainer.step % len(trainer.train)), watchers=watchers)
        if watched:
            trainer.statistics.after_update()

    return step


def torch_step(name: str, batch: int, channels_last: bool) -> Step:
    """Return a function that does PyTorch's next training step."""
    import torch

    shape, layers = NETWORKS[name]
    images, labels = (torch.from_numpy(array) for array in _images(shape))
    images = images.permute(0, 3, 1, 2).contiguous()
    model, layout = _torch_network(shape, layers), torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    images = images.to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True)
    loss_function = torch.nn.CrossEntropyLoss()
    order = torch.randperm(SAMPLES)
    total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    count = 0

    def step() -> None:
        nonlocal count
        start = count * batch % SAMPLES
        count += 1
        rows = order[start : start + batch]
        inputs, target = images[rows].float().mul_(1 / 255).contiguous(memory_format=layout), labels[rows]
        optimizer.zero_grad()
        logits = model(inputs)
        loss = loss_function(logits, target)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            total.add_(loss.detach() * len(target))
            right.add_((logits.argmax(1) == target).sum())

    return step


def _torch_network(shape: tuple[int, int, int], layers: list[Table]) -> Any:
    """Return the same layers in PyTorch, without the softmax at the end, which its loss brings."""
    import torch
    from torch import nn

    made: list[Any] = []
    y = torch.zeros(2, shape[2], *shape[:2])
    for layer in layers:
        if layer["type"] == "conv2d":
            made.append(nn.Conv2d(y.shape[1], layer["filters"], 3, padding=layer.get("padding", "valid")))
        elif layer["type"] == "dense":
            made.append(nn.Linear(y.shape[1], layer["units"]))
        elif layer["type"] == "batch_normalization":
            made.append(nn.BatchNorm2d(y.shape[1], eps=1e-3, momentum=0.01))
        elif layer["type"] == "dropout":
            made.append(nn.Dropout(layer["rate"]))
        elif layer["type"] != "activation":
            made.append(nn.Flatten() if layer["type"] == "flatten" else nn.MaxPool2d(2))
        with torch.no_grad():
            y = made[-1](y)
        if layer.get("activation") == "relu":
            made.append(nn.ReLU(inplace=True))
    return nn.Sequential(*made)


def our_layer(size: int, channels: int) -> Step:
    """Return a function that runs our layer forwards and backwards."""
    import numpy as np

    from tuilab.blocks.arrays import Clock, Stream
    from tuilab.blocks.layers.layer import Layer, Site
    from tuilab.engine.device import choose_device

    ops = choose_device("cpu").ops
    layer, shape = Layer.choose(conv(channels, padding="same", activation="relu")), (size, size, channels)
    generator = np.random.default_rng(0)
    ops.prepare(shape, exact=False)
    parameters = {parameter.name: parameter.shape for parameter in layer.parameters(shape)}
    x, dy, dx = (generator.standard_normal((LAYER_BATCH, *shape), "float32") for _ in range(3))
    values = {name: generator.standard_normal(shape, "float32") for name, shape in parameters.items()}
    gradients = {name: np.empty_like(value) for name, value in values.items()}
    bound = layer.bind(
        Site(
            ops=ops,
            dtype="float32",
            batch_size=LAYER_BATCH,
            input_shape=shape,
            values=values,
            gradients=gradients,
            input_gradient=dx,
            penalty=np.zeros(1, "float32"),
            stream=lambda purpose: Stream(0, purpose, Clock()),
        )
    )

    def step() -> None:
        bound.forward(x, training=True)
        bound.backward(dy)

    return step


def torch_layer(size: int, channels: int, channels_last: bool) -> Step:
    """Return a function that runs PyTorch's layer forwards and backwards."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    layer = torch.nn.Conv2d(channels, channels, 3, padding="same").to(memory_format=layout)
    x, dy = (torch.randn(LAYER_BATCH, channels, size, size).to(memory_format=layout) for _ in range(2))
    x.requires_grad_()

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        torch.relu_(layer(x)).backward(dy)

    return step


if __name__ == "__main__":
    main()
