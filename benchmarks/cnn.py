"""Convolutional networks beside PyTorch: `python -m benchmarks.cnn`.

A training step of mnist-cnn and of cifar-vgg, and the forward and backward pass of single layers of VGG16. All run on
the same random images with the same number of threads. PyTorch runs eagerly with its fused Adam, once with its default
layout and once with channels last; the faster one counts. A step includes gathering its batch from 8-bit images, and
our loss, accuracy and statistics of every layer as in a real run. At last the most memory that processes hold which
train mnist-cnn at batch 128.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from benchmarks.side_by_side import Row, Step, compare, finish, most_memory, options, pin_threads

SAMPLES = 3_200
NETWORK_GOAL = 1.1
LAYER_BATCH = 8
LAYERS = [(56, 128, 1.3), (28, 256, 1.2), (14, 512, 1.0)]
"""Height and width, channels in and out, and the least ratio that is wanted."""
MEMORY_BATCH, MEMORY_STEPS = 128, 20
MEMORY_GOAL = 1 / 0.6
LEARNED = 0.5
"""A loss; guessing has log 10."""

LAYOUTS = {"PyTorch": False, "PyTorch, channels last": True}
"""Whether channels are last."""
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
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, default=64, help="batch size of the networks")
    parser.add_argument("--only", default="", help="a part of the names of what to measure")
    parser.add_argument("--held-by", choices=["tuilab", "PyTorch"], help="print the most memory that one of them held")
    chosen = parser.parse_args()
    pin_threads(chosen.threads)
    if chosen.held_by:
        print(_held_by(chosen.held_by, chosen.threads))
        return
    _torch(chosen.threads)
    rows = []
    for name in NETWORKS:
        if chosen.only in (title := f"{name}, batch {chosen.batch}"):
            peers = {way: torch_step(name, chosen.batch, last) for way, last in LAYOUTS.items()}
            ours = our_step(name, chosen.batch)
            rows.append(compare(title, ours, peers, NETWORK_GOAL, short=chosen.short, learned=LEARNED))
    for size, channels, goal in LAYERS:
        if chosen.only in (title := f"conv2d {size}×{size}×{channels}, batch {LAYER_BATCH}"):
            peers = {way: torch_layer(size, channels, last) for way, last in LAYOUTS.items()}
            rows.append(compare(title, our_layer(size, channels), peers, goal, short=chosen.short))
    if not chosen.short and chosen.only in (title := f"mnist-cnn, batch {MEMORY_BATCH}, most memory of the process"):
        rows.append(_memory(title, chosen.threads))
    finish(rows, chosen.json)


def _memory(title: str, threads: int) -> Row:
    """Return the most memory that each held after some steps, in a process of its own."""
    held = {}
    for who in ("tuilab", "PyTorch"):
        command = [sys.executable, "-m", "benchmarks.cnn", "--held-by", who, "--threads", str(threads)]
        held[who] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ratio = held["PyTorch"] / held["tuilab"]
    return Row(title, held["tuilab"], {"PyTorch": held["PyTorch"]}, ratio, ratio, ratio, MEMORY_GOAL, "bytes")


def _held_by(who: str, threads: int) -> int:
    """Return the bytes that this process holds at most."""
    if who == "PyTorch":
        _torch(threads)
    step = our_step("mnist-cnn", MEMORY_BATCH) if who == "tuilab" else torch_step("mnist-cnn", MEMORY_BATCH, False)
    for _ in range(MEMORY_STEPS):
        step()
    return most_memory()


def _torch(threads: int) -> None:
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks.cnn: compares with PyTorch, which is not installed (pip install torch==2.13.0)")
    torch.set_num_threads(threads)


def _images(shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """Return noise with, of each class, a pattern of its own in it."""
    import numpy as np

    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 128, (10, *shape), dtype=np.uint8)
    noise = generator.integers(0, 128, (SAMPLES, *shape), dtype=np.uint8)
    labels = generator.integers(0, 10, SAMPLES)
    return noise + patterns[labels], labels


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

    def step() -> Any:
        watched = trainer.step % every == 0
        trainer.network.clock.step = trainer.step
        watchers = [trainer.statistics] if watched else []
        trainer.train_batch(*trainer.train.batch(trainer.step % len(trainer.train)), watchers=watchers)
        if watched:
            trainer.statistics.after_update()
        return trainer.network.step_loss[0]

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

    def step() -> Any:
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
        return loss.detach()

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
