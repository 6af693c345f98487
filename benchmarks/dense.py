"""A training step of mnist-mlp, 784-512-256-10 with dropout and Adam, beside its peers: `python -m benchmarks.dense`.

All train on the same random images, batch by batch, with the same number of threads. Each step includes gathering its
batch from 8-bit images; ours the loss, the accuracy and every 20 steps the statistics of every layer, as in a real run.
scikit-learn has no dropout. The limit is what the hardware needs: the matrix products at the speed of a large one, and
the optimizer's memory at the speed of a copy.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.side_by_side import Row, Step, alternate, compare, finish, most_memory, options, pin_threads

SAMPLES = 12_800
SIZES = (784, 512, 256, 10)
GOALS = {32: 1.5, 128: 1.2, 512: 1.1}
MEMORY_GOAL = 1 / 0.6
MEMORY_STEPS = 50
LEARNED = 0.5
"""A loss; guessing has log 10."""


def main() -> None:
    """Print the table."""
    parser = options(__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=list(GOALS), help="batch sizes")
    parser.add_argument("--compiled", action="store_true", help="measure torch.compile too, which takes a minute")
    parser.add_argument("--held-by", choices=["tuilab", "PyTorch"], help="print the most memory that one of them held")
    chosen = parser.parse_args()
    pin_threads(chosen.threads)
    if chosen.held_by:
        print(_held_by(chosen.held_by, chosen.threads))
        return
    rows = []
    for batch in [32] if chosen.short else chosen.batch:
        peers = {"PyTorch": torch_step(batch, chosen.threads)}
        if chosen.compiled:
            peers["PyTorch compiled"] = torch_step(batch, chosen.threads, compiled=True)
        peers |= {"scikit-learn": sklearn_step(batch), "NumPy by the textbook": numpy_step(batch)}
        title, ours = f"784-512-256-10, Adam, batch {batch}", our_step(batch)
        rows.append(compare(title, ours, peers, GOALS.get(batch), short=chosen.short, learned=LEARNED))
        if chosen.short:
            continue
        print(f"batch {batch}: the limit is {limit(batch) * 1e3:.2f} ms, we take {rows[-1].ours * 1e3:.2f} ms")
    finish(rows if chosen.short else [*rows, memory(chosen.threads)], chosen.json)


def limit(batch: int) -> float:
    """Return the seconds that the products of a step and the memory of Adam take at the machine's best."""
    import numpy as np

    layers = list(pairwise(SIZES))
    products = 3 * sum(n * m for n, m in layers) - layers[0][0] * layers[0][1]  # nobody reads the first dx
    square, out = np.random.default_rng(0).normal(size=(2, 1024, 1024)).astype("float32")
    parameters = sum((n + 1) * m for n, m in layers)
    memory = np.zeros((2, 4 * parameters), "float32")
    (multiplied,), (copied,) = (
        (min(found),)
        for found in alternate(lambda: np.matmul(square, square, out=out), lambda: np.copyto(memory[0], memory[1]))
    )
    moved = 7 * parameters / memory.size  # weights, gradient, two slots read; three of them written
    return batch * products / 1024**3 * multiplied + moved * copied


def memory(threads: int) -> Row:
    """Return the most memory that each held after some steps, in a process of its own."""
    held = {}
    for who in ("tuilab", "PyTorch"):
        command = [sys.executable, "-m", "benchmarks.dense", "--held-by", who, "--threads", str(threads)]
        held[who] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ratio = held["PyTorch"] / held["tuilab"]
    name = "mnist-mlp, most memory of the process"
    return Row(name, held["tuilab"], {"PyTorch": held["PyTorch"]}, ratio, ratio, ratio, MEMORY_GOAL, "bytes")


def _held_by(who: str, threads: int) -> int:
    """Return the bytes that this process holds at most."""
    step = our_step(128) if who == "tuilab" else torch_step(128, threads)
    for _ in range(MEMORY_STEPS):
        step()
    return most_memory()


def _images() -> tuple[Any, Any]:
    """Return noise with, of each class, a pattern of its own in it."""
    import numpy as np

    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 128, (10, 28, 28, 1), dtype=np.uint8)
    images, labels = (
        generator.integers(0, 128, (SAMPLES, 28, 28, 1), dtype=np.uint8),
        generator.integers(0, 10, SAMPLES),
    )
    return images + patterns[labels], labels


def our_step(batch: int) -> Step:
    """Return a function that does our next step."""
    import numpy as np

    from tuilab.blocks.samples import Data, Scaling, Split
    from tuilab.engine.device import choose_device
    from tuilab.engine.trainer import Trainer
    from tuilab.experiment.load import load_experiment

    experiment = load_experiment("mnist-mlp", [f"data.batch_size={batch}", "training.device=cpu"])
    dataset = experiment.data.dataset
    assert dataset is not None
    scaling = Scaling(np.zeros((), "float32"), np.asarray(1 / 255, "float32"))
    data = Data(dataset.info(), Split(*_images()), None, None, scaling)
    trainer = Trainer(experiment, data, choose_device("cpu"))
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


def torch_step(batch: int, threads: int, compiled: bool = False) -> Step:
    """Return a function that does PyTorch's next step."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    images, labels = _images()
    x, y = torch.from_numpy(images).reshape(SAMPLES, 784), torch.from_numpy(labels)
    model: Callable[[Any], Any] = nn.Sequential(
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True)  # type: ignore[attr-defined]
    model = torch.compile(model) if compiled else model
    loss_function = nn.CrossEntropyLoss()
    order = torch.randperm(SAMPLES)
    total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    count = 0

    def step() -> Any:
        nonlocal count
        start = count * batch % SAMPLES
        count += 1
        rows = order[start : start + batch]
        inputs, target = x[rows].float().mul_(1 / 255), y[rows]
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


def sklearn_step(batch: int) -> Step:
    """Return a function that does one step of scikit-learn's network."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    images, labels = _images()
    x = images.reshape(SAMPLES, 784).astype("float32") / 255
    model = MLPClassifier(SIZES[1:-1], batch_size=batch)
    model.partial_fit(x[:batch], labels[:batch], classes=np.arange(10))
    count = 0

    def step() -> Any:
        nonlocal count
        start = count * batch % SAMPLES
        count += 1
        model.partial_fit(x[start : start + batch], labels[start : start + batch])
        return model.loss_

    return step


def numpy_step(batch: int) -> Step:
    """Return a function that does a step in NumPy, written as a textbook writes it."""
    import numpy as np

    images, labels = _images()
    generator = np.random.default_rng(1)
    pairs = list(pairwise(SIZES))
    weights = [generator.normal(0, (2 / n) ** 0.5, (n, m)).astype("float32") for n, m in pairs]
    weights += [np.zeros(m, "float32") for _, m in pairs]
    means, squares = ([np.zeros_like(w) for w in weights] for _ in range(2))
    one_hot, order = np.eye(10, dtype="float32"), generator.permutation(SAMPLES)
    totals, count = np.zeros(2), 0

    def step() -> Any:
        nonlocal count
        start = count * batch % SAMPLES
        count += 1
        rows = order[start : start + batch]
        x, target = images[rows].reshape(-1, 784).astype("float32") / np.float32(255), labels[rows]
        outputs, masks = [x], []
        for layer in range(2):
            y = np.maximum(outputs[-1] @ weights[layer] + weights[3 + layer], 0)
            masks.append((generator.random(y.shape, dtype="float32") >= 0.2) / np.float32(0.8))
            outputs.append(y * masks[-1])
        z = outputs[-1] @ weights[2] + weights[5]
        power = np.exp(z - z.max(axis=1, keepdims=True))
        p = power / power.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(batch), target]).mean()
        totals[0] += loss
        totals[1] += (p.argmax(axis=1) == target).mean()
        slope = (p - one_hot[target]) / batch
        gradients: list[Any] = [None] * 6
        for layer in reversed(range(3)):
            gradients[layer], gradients[3 + layer] = outputs[layer].T @ slope, slope.sum(axis=0)
            if layer:
                slope = (slope @ weights[layer].T) * masks[layer - 1] * (outputs[layer] > 0)
        rate = 0.001 * (1 - 0.999**count) ** 0.5 / (1 - 0.9**count)
        for w, g, mean, square in zip(weights, gradients, means, squares, strict=True):
            mean[:] = 0.9 * mean + 0.1 * g
            square[:] = 0.999 * square + 0.001 * g**2
            w -= rate * mean / (np.sqrt(square) + 1e-7)
        return loss

    return step


if __name__ == "__main__":
    main()
