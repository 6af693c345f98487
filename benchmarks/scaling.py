"""How the time of an epoch grows with samples and with parameters, over three decades of each:
`python -m benchmarks.scaling`.

The network is dense, of 784 inputs and 10 outputs with one hidden layer, and trains with Adam on random 8-bit images
in batches of 128. Time in proportion gives the same time a sample, and a parameter, in every row; what a step costs,
however small the network is, shows in the first rows of the second table.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass

from benchmarks.side_by_side import options, pin_threads

SAMPLES = (1_000, 10_000, 100_000, 1_000_000)
UNITS = (13, 126, 1_258, 12_579)
"""Of the hidden layer, for 10 thousand, 100 thousand, … parameters."""
MANY_SAMPLES_UNITS, MANY_UNITS_SAMPLES = 64, 2_560
BATCH = 128
EPOCHS = 5
"""Timed, after one that is not; fewer where that takes long."""
LONG = 2_000_000_000
"""Samples · parameters of an epoch from which on two are timed."""


@dataclass(frozen=True)
class Row:
    """A training."""

    samples: int
    parameters: int
    seconds: float
    """Of an epoch, the median."""


def main() -> None:
    """Print both tables."""
    chosen = options(__doc__).parse_args()
    pin_threads(chosen.threads)
    by_samples = [measure(samples, MANY_SAMPLES_UNITS) for samples in SAMPLES]
    by_parameters = [measure(MANY_UNITS_SAMPLES, units) for units in UNITS]
    print(f"| samples, {by_samples[0].parameters:,} parameters | epoch | ÷ samples |\n|---|---|---|")
    for row in by_samples:
        print(f"| {row.samples:,} | {row.seconds:.4f} s | {row.seconds / row.samples * 1e6:.2f} µs |")
    print(f"\n| parameters, {MANY_UNITS_SAMPLES:,} samples | epoch | ÷ parameters |\n|---|---|---|")
    for row in by_parameters:
        print(f"| {row.parameters:,} | {row.seconds:.4f} s | {row.seconds / row.parameters * 1e6:.3f} µs |")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([asdict(row) for row in (*by_samples, *by_parameters)], indent=1) + "\n")


def measure(samples: int, units: int) -> Row:
    """Train a network of a hidden layer of `units`."""
    import numpy as np

    from tuilab.blocks.datasets import Mnist
    from tuilab.blocks.samples import Data, Scaling, Split
    from tuilab.engine.device import choose_device
    from tuilab.engine.trainer import Trainer
    from tuilab.experiment.load import make_experiment

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (samples, 28, 28, 1), dtype=np.uint8)
    scaling = Scaling(np.zeros((), "float32"), np.asarray(1 / 255, "float32"))
    data = Data(Mnist().info(), Split(images, generator.integers(0, 10, samples)), None, None, scaling)
    layers = [{"type": "dense", "units": units, "activation": "relu"}]
    output = {"type": "dense", "units": 10, "activation": "softmax"}
    epochs = 1 + (EPOCHS if samples * units * len(images[0].ravel()) < LONG else 2)
    training = {"loss": "categorical_crossentropy", "metrics": ["accuracy"], "epochs": epochs}
    experiment = make_experiment(
        {"data": {"dataset": "mnist", "batch_size": BATCH}, "layers": [*layers, output], "training": training}
    )
    trainer = Trainer(experiment, data, choose_device("cpu"))
    for _ in trainer.run():
        pass
    times = [epoch.seconds for epoch in trainer.history[1:]]
    return Row(samples, trainer.plan.parameter_count, statistics.median(times))


if __name__ == "__main__":
    main()
