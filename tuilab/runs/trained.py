"""A trained network from the folder of its run."""

from __future__ import annotations

from tuilab.blocks.arrays import HostArray
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Scaling, Split
from tuilab.engine.batches import batches_for
from tuilab.engine.device import cpu_kernels
from tuilab.engine.inference import predict
from tuilab.engine.measures import Measures, evaluate
from tuilab.engine.network import Network
from tuilab.errors import UsageError
from tuilab.experiment.load import load_experiment
from tuilab.experiment.plan import plan
from tuilab.runs.checkpoints import BEST, WEIGHTS
from tuilab.runs.directory import RunDirectory
from tuilab.runs.weights import load_weights
from tuilab.text import clean_text


class TrainedRun:
    """A run with a checkpoint, ready to evaluate and predict, with its final weights or those of its best epoch."""

    def __init__(self, run: RunDirectory, best: bool = False) -> None:
        self.run = run
        self.experiment = load_experiment(run.experiment_file)
        facts = run.read_json("data.json")
        try:
            self.info = DataInfo.from_dict(facts["info"])
            self.scaling = Scaling.from_dict(facts["scaling"]) if facts["scaling"] else None
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"{clean_text(str(run.path / 'data.json'))}: is damaged or not a file of a run") from None
        self.network = Network(
            cpu_kernels(),
            plan(self.experiment, self.info),
            self.experiment.training.loss,
            self.experiment.data.batch_size,
            self.experiment.training.dtype,
            self.experiment.seed,
            initial=False,
            trains=False,
        )
        folder = run.checkpoint()
        load_weights(self.network, folder / (BEST if best and (folder / BEST).exists() else WEIGHTS))

    def predict(self, features: HostArray) -> HostArray:
        """Return the outputs for features as the data set stores them: (n, …) → (n, units)."""
        return predict(self.network, features, self.scaling)

    def evaluate(self, split: Split) -> dict[str, float]:
        """Return loss and metrics on one part of the data."""
        network, metrics = self.network, self.experiment.training.metrics
        batches = batches_for(network, split, self.scaling)
        return evaluate(network, batches, Measures(network.ops, metrics, network.plan.outputs))
