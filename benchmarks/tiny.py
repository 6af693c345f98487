"""A training step of a tiny network, 2-8-8-1, beside its peers: `python -m benchmarks.tiny`.

All train on batches of 10 out of 500 points with tanh, a sigmoid at the end and plain gradient descent. Ours is the
whole training: batches, loss, accuracy, the statistics of every layer every 20 steps, and the events that tell of it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from benchmarks.side_by_side import Row, Step, compare, finish, options, pin_threads

SAMPLES, BATCH, RATE = 500, 10, 0.03
STEPS = 100
"""That each is measured by: two epochs."""
LEARNED = 0.5
"""A loss; guessing has log 2."""


def main() -> None:
    """Print the table."""
    chosen = options(__doc__).parse_args()
    pin_threads(chosen.threads)
    finish([tiny(chosen.threads, chosen.short)], chosen.json)


def tiny(threads: int, short: bool) -> Row:
    """Return the time of a step."""
    peers = {"PyTorch": torch_steps(threads), "NumPy by the textbook": numpy_steps()}
    return compare("2-8-8-1, tanh, SGD, batch 10", our_steps(), peers, 20, STEPS, short, LEARNED)


def _points() -> tuple[Any, Any]:
    import numpy as np

    x = np.random.default_rng(0).normal(size=(SAMPLES, 2)).astype("float32")
    return x, (x[:, 0] * x[:, 1] > 0).astype("int64")


def our_steps() -> Step:
    """Return a function that trains on for STEPS steps."""
    from tuilab.blocks.datasets import DataInfo
    from tuilab.blocks.samples import Data, Split
    from tuilab.engine.device import choose_device
    from tuilab.engine.events import EpochDone
    from tuilab.engine.trainer import Trainer
    from tuilab.experiment.document import Experiment

    hidden = {"type": "dense", "units": 8, "activation": "tanh"}
    experiment = Experiment.model_validate(
        {
            "data": {"dataset": "iris", "batch_size": BATCH},
            "layers": [hidden, hidden, {"type": "dense", "units": 1, "activation": "sigmoid"}],
            "training": {
                "epochs": 100_000,
                "loss": "binary_crossentropy",
                "optimizer": {"type": "sgd", "learning_rate": RATE},
                "metrics": ["accuracy"],
            },
        }
    )
    data = Data(DataInfo((2,), "binary", ("no", "yes")), Split(*_points()), None, None, None)
    trainer = Trainer(experiment, data, choose_device("cpu"))
    events = trainer.run()

    def steps() -> float:
        until, loss = trainer.step + STEPS, math.nan
        for event in events:
            if isinstance(event, EpochDone):
                loss = event.results["loss"]
                if event.step >= until:
                    break
        return loss

    return steps


def torch_steps(threads: int) -> Step:
    """Return a function that does as many steps in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    x, y = map(torch.from_numpy, _points())
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    loss_function = nn.BCEWithLogitsLoss()
    total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)

    def steps() -> Any:
        total.zero_()
        order = torch.randperm(SAMPLES).repeat(STEPS * BATCH // SAMPLES)
        for start in range(0, STEPS * BATCH, BATCH):
            rows = order[start : start + BATCH]
            inputs, target = x[rows], y[rows].float()
            optimizer.zero_grad()
            logits = model(inputs).squeeze(1)
            loss = loss_function(logits, target)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                total.add_(loss.detach() * BATCH)
                right.add_(((logits > 0) == (target > 0)).sum())
        return total / (STEPS * BATCH)

    return steps


def numpy_steps() -> Step:
    """Return a function that does as many steps in NumPy, written as a textbook writes them."""
    import numpy as np

    x, y = _points()
    generator = np.random.default_rng(1)
    sizes = (2, 8, 8, 1)
    kernels = [generator.normal(0, 0.5, pair).astype("float32") for pair in pairwise(sizes)]
    biases = [np.zeros(size, "float32") for size in sizes[1:]]
    totals = np.zeros(2)

    def steps() -> Any:
        totals[:] = 0
        order = np.tile(generator.permutation(SAMPLES), STEPS * BATCH // SAMPLES)
        for start in range(0, STEPS * BATCH, BATCH):
            rows = order[start : start + BATCH]
            outputs, target = [x[rows]], y[rows, None]
            for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
                outputs.append(np.tanh(outputs[-1] @ kernel + bias))
            p = 1 / (1 + np.exp(-(outputs[-1] @ kernels[-1] + biases[-1])))
            totals[0] -= np.mean(np.log(np.where(target, p, 1 - p)))
            totals[1] += np.mean((p > 0.5) == target)
            slope = (p - target).astype("float32") / BATCH
            for layer in reversed(range(3)):
                kernel_gradient, bias_gradient = outputs[layer].T @ slope, slope.sum(axis=0)
                slope = (slope @ kernels[layer].T) * (1 - outputs[layer] ** 2)
                kernels[layer] -= RATE * kernel_gradient
                biases[layer] -= RATE * bias_gradient
        return totals[0] / STEPS

    return steps


if __name__ == "__main__":
    main()
