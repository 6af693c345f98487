"""One training step of mnist-mlp beside PyTorch: `python -m benchmarks.dense`.

Both train 784-512-256-10 with dropout and Adam on the same random images, batch by batch, with the same number of
threads. They take turns in short rounds, so that a change in the machine's speed meets both; the table shows the
median time of a step, and PyTorch's ÷ ours. PyTorch runs eagerly with its fused Adam. Each step includes gathering its
batch from 8-bit images, and our loss, accuracy and per-layer statistics as in a real run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from time import perf_counter

SAMPLES = 12_800
ROUNDS = 15
STEPS = 40


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128], help="batch sizes")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of both")
    chosen = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(chosen.threads)  # read when numpy and torch are imported, below
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks.dense: compares with PyTorch, which is not installed (pip install torch==2.13.0)")
    import numpy as np

    torch.set_num_threads(chosen.threads)
    print(f"mnist-mlp, Adam, {chosen.threads} threads; NumPy {np.__version__}, PyTorch {torch.__version__}")
    print(f"{'batch':>6}{'tuilab ms':>12}{'PyTorch ms':>12}{'ratio':>8}   spread of the ratio over {ROUNDS} rounds")
    for batch in chosen.batch:
        ours, theirs = _alternate(our_step(batch), torch_step(batch))
        ratios = sorted(slow / fast for fast, slow in zip(ours, theirs, strict=True))
        fast, slow = statistics.median(ours), statistics.median(theirs)
        print(
            f"{batch:>6}{fast * 1e3:>12.2f}{slow * 1e3:>12.2f}{slow / fast:>8.2f}   {ratios[0]:.2f} to {ratios[-1]:.2f}"
        )


def _alternate(*steps: Callable[[], None]) -> list[list[float]]:
    """Return for each function the median seconds of a call in every round, after a warm-up."""
    for step in steps:
        for _ in range(STEPS):
            step()
    medians: list[list[float]] = [[] for _ in steps]
    for _ in range(ROUNDS):
        for step, found in zip(steps, medians, strict=True):
            times = []
            for _ in range(STEPS):
                start = perf_counter()
                step()
                times.append(perf_counter() - start)
            found.append(statistics.median(times))
    return medians


def _images() -> tuple[object, object]:
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (SAMPLES, 28, 28, 1), dtype=np.uint8)
    return images, generator.integers(0, 10, SAMPLES)


def our_step(batch: int) -> Callable[[], None]:
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

    def step() -> None:
        watched = trainer.step % every == 0
        trainer.network.clock.step = trainer.step
        watchers = [trainer.statistics] if watched else []
        trainer.train_batch(*trainer.train.batch(trainer.step % len(trainer.train)), watchers=watchers)
        if watched:
            trainer.statistics.after_update()

    return step


def torch_step(batch: int) -> Callable[[], None]:
    """Return a function that does PyTorch's next step."""
    import torch
    from torch import nn

    images, labels = _images()
    x, y = torch.from_numpy(images).reshape(SAMPLES, 784), torch.from_numpy(labels)
    model = nn.Sequential(
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True)
    loss_function = nn.CrossEntropyLoss()
    order = torch.randperm(SAMPLES)
    total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    count = 0

    def step() -> None:
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

    return step


if __name__ == "__main__":
    main()
