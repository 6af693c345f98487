"""Makes a run of a Keras file: an experiment, and the file's weights as its first checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuilab.blocks.arrays import HostArray, Shape
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.samples import Scaling
from tuilab.data.load import describe, load
from tuilab.data.scaling import rescaling
from tuilab.engine.arena import Arena
from tuilab.engine.kernels.numpy import NumpyKernels
from tuilab.errors import ExperimentError, Problem, TuilabError, UsageError
from tuilab.experiment.document import Experiment
from tuilab.experiment.fit import last_activation
from tuilab.experiment.load import apply_override, load_experiment, make_experiment, start_paths_from
from tuilab.experiment.plan import Plan, plan
from tuilab.experiment.save import to_toml
from tuilab.interop.keras.files import KerasFile, open_keras
from tuilab.interop.keras.model import Chain, UnknownModelError, read_model
from tuilab.interop.keras.weights import Fit, fit
from tuilab.runs.checkpoints import WEIGHTS
from tuilab.runs.directory import RunDirectory, create_run
from tuilab.runs.reader import following
from tuilab.runs.recorder import Recorder
from tuilab.runs.tensors import write_tensors
from tuilab.runs.training import write_facts
from tuilab.text import clean_text

LOSSES = {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy"}
"""Last activation → loss of an experiment that is made of a model."""


class MismatchError(TuilabError):
    """Weights that do not fit the network; nothing was made."""


@dataclass(frozen=True)
class Imported:
    """What came of a file."""

    run: RunDirectory
    experiment: Experiment
    plan: Plan
    fit: Fit
    notes: list[str]


def import_keras(
    file: Path,
    runs: Path,
    model: str | None = None,
    data: str | None = None,
    overrides: Sequence[str] = (),
    partial: bool = False,
    data_dir: Path | None = None,
) -> Imported:
    """Make a run in the folder `runs` of a Keras file.

    `model`: an experiment to which the weights belong; without it, one is made of the model's own description, and
    `data` is what it learns from: a data set by name, or a .npz or .csv file. `partial`: take what fits, and leave
    other parameters at their first values.

    Raises UsageError, ForeignFileError, UnknownModelError, ExperimentError and MismatchError; then nothing was made.
    """
    if model is not None and data is not None:
        raise UsageError(
            "--data and --model: choose one; what an experiment learns from is in it: --set data.dataset=NAME"
        )
    with open_keras(file) as opened:
        chain = None
        if model is not None:
            experiment = load_experiment(model, overrides)
        else:
            chain = _chain(opened)
            experiment = make_experiment(_document(chain, data, overrides), clean_text(file.name))
        info = describe(experiment.data)
        planned = plan(experiment, info)
        if chain is not None:
            _check_axes(chain, planned)
        found = fit(opened.contents, planned.leaves, None if chain is None else chain.paths)
        if not found.arrays or not (partial or found.complete):
            raise MismatchError("\n".join([f"{clean_text(str(file))}: does not fit the network:", *found.lines()]))
        weights = _weights(opened, planned, found, experiment)
        scaling = _scaling(experiment, data_dir)
        version = clean_text(opened.contents.version, 20)
        origin = f"imported from {clean_text(file.name, 100)}" + (f" (Keras {version})" if version else "")
    run = _make_run(runs, experiment, info, scaling, planned, weights, origin)
    return Imported(run, experiment, planned, found, [] if chain is None else chain.notes)


def _chain(opened: KerasFile) -> Chain:
    config = opened.config()
    place = clean_text(str(opened.path))
    if config is None:
        raise UsageError(f"{place}: holds weights alone; name the experiment that they belong to: --model EXPERIMENT")
    try:
        return read_model(config, opened.contents.version)
    except UnknownModelError as error:
        raise UnknownModelError(
            f"{place}: {error}\nits weights may fit an experiment of yours: --model EXPERIMENT"
        ) from None


def _document(chain: Chain, data: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the tables of an experiment for a chain of layers."""
    document: dict[str, Any] = {
        "name": chain.name[:80],
        "description": "A model of Keras.",
        "data": {},
        "layers": chain.layers,
        "training": {},
    }
    if data is not None:
        own = data.lower().endswith((".npz", ".csv"))
        document["data"] = {"path": data} if own else {"dataset": data}
    for override in overrides:
        apply_override(document, override)
    start_paths_from(Path(), document)
    source: dict[str, Any] = document["data"]
    own_shape: dict[str, Any] = {}
    if isinstance(source.get("dataset"), dict) and "type" not in source["dataset"]:
        own_shape = source.pop("dataset")  # settings for data of which only the shape is known
    known = "dataset" in source or "path" in source
    training = {"loss": "mean_squared_error", **document["training"]}
    draft = make_experiment({**document, "training": training, "data": source if known else {"dataset": "shape_only"}})
    info = describe(draft.data) if known else None
    shape = _input_shape(chain, info)
    outputs, activation = _outputs(draft, shape), last_activation(draft)
    name = activation.type_name() if activation else "linear"
    if info is None:
        source["dataset"] = {**_shape_only(shape, outputs, name), **own_shape}
        source.setdefault("flatten", False)
    else:
        _adapt(document, info.input_shape, shape)
        if not chain.preparation:
            chain.notes.append("the model does not say how its samples were scaled; data.normalization does")
    if chain.preparation:
        source.setdefault("normalization", "none")
        source.setdefault("augmentation", chain.preparation)
    document["training"].setdefault("loss", LOSSES.get(name, "mean_squared_error"))
    if name in LOSSES and outputs != 1:
        document["training"].setdefault("metrics", ["accuracy"])
    return document


def _input_shape(chain: Chain, info: DataInfo | None) -> Shape:
    """Return the shape of a sample; where the model leaves sizes open, they are those of the data."""
    if info is not None and len(info.input_shape) == len(chain.input_shape):
        return tuple(own or given for own, given in zip(chain.input_shape, info.input_shape, strict=True))
    if None in chain.input_shape:
        raise UsageError(f"the model leaves open how large its samples are, {_open(chain)}; say it with --data NAME")
    return tuple(size for size in chain.input_shape if size is not None)


def _open(chain: Chain) -> str:
    return " × ".join("?" if size is None else str(size) for size in chain.input_shape)


def _outputs(draft: Experiment, shape: Shape) -> int:
    """Return how many numbers the network gives."""
    for index, layer in enumerate(draft.layers):
        try:
            shape = layer.output_shape(shape)
        except ValueError as error:
            raise ExperimentError([Problem(f"layers[{index}]", f"{layer.type_name()} {error}")], draft.name) from None
    return math.prod(shape)


def _shape_only(shape: Shape, outputs: int, activation: str) -> dict[str, Any]:
    """Return data of which only the shape is known, for the outputs that the network has."""
    table: dict[str, Any] = {"type": "shape_only", "input_shape": list(shape)}
    if activation == "softmax":
        return {**table, "task": "categorical", "classes": outputs}
    if activation == "sigmoid":
        return {**table, "task": "binary"} if outputs == 1 else {**table, "task": "multi_label", "classes": outputs}
    return {**table, "task": "regression", "targets": outputs}


def _adapt(document: dict[str, Any], given: Shape, wanted: Shape) -> None:
    """Let the network take the samples of the data, where these have as many values in another shape."""
    if math.prod(given) != math.prod(wanted):
        has, takes = (" × ".join(map(str, shape)) for shape in (given, wanted))
        raise UsageError(f"the data has samples of {has}, the model takes {takes}")
    document["data"].setdefault("flatten", len(wanted) == 1 and given != wanted)
    if given != wanted and len(wanted) > 1:
        shaping = {"type": "reshape", "name": "input_shape", "target_shape": list(wanted)}
        document["layers"] = [shaping, *document["layers"]]


def _check_axes(chain: Chain, planned: Plan) -> None:
    """Refuse normalizations along another axis than the last, of which alone we have any."""
    for leaf in planned.leaves:
        axis = chain.axes.get(leaf.name, -1)
        if axis not in (-1, len(leaf.input_shape)):
            raise UnknownModelError(
                f"layer {clean_text(leaf.name)}: works along axis {axis}, tuilab along the last one"
            )


def _weights(opened: KerasFile, planned: Plan, found: Fit, experiment: Experiment) -> dict[str, HostArray]:
    """Return every parameter of the network by `layer name/parameter`."""
    dtype = experiment.training.dtype
    weights: dict[str, HostArray] = {}
    if not found.complete:  # what the file has not begins as it does in a training
        for entry in Arena(NumpyKernels(), planned.leaves, dtype, experiment.seed).entries:
            weights[f"{planned.leaves[entry.layer].name}/{entry.parameter.name}"] = entry.value
    with np.errstate(all="ignore"):  # numbers beyond the network's dtype become infinity
        for name, array in found.arrays.items():
            weights[name] = opened.read(array).astype(dtype, copy=False)
    return weights


def _scaling(experiment: Experiment, data_dir: Path | None) -> Scaling | None:
    """Return how the experiment brings samples to a common scale, reading data only where it depends on them."""
    settings, dataset = experiment.data, experiment.data.dataset
    normalization = settings.normalization
    if normalization == "auto" and dataset is not None:
        normalization = dataset.default_normalization
    if normalization == "none":
        return None
    if normalization == "rescale" and dataset is not None:
        return rescaling(dataset.info().pixel_maximum)
    return load(settings, experiment.seed, data_dir).scaling


def _make_run(
    runs: Path,
    experiment: Experiment,
    info: DataInfo,
    scaling: Scaling | None,
    planned: Plan,
    weights: dict[str, HostArray],
    origin: str,
) -> RunDirectory:
    """Make the run, complete or not at all: it stands before its first step."""
    run = create_run(runs, experiment.name, to_toml(experiment))
    try:
        with run.hold() as lock:
            write_facts(run, info, scaling)
            run.write_checkpoint(0, {WEIGHTS: lambda path: write_tensors(weights, path)})
            with following(run) as reader:
                status = reader.status()
            with closing(Recorder(run.path, status)) as recorder:
                recorder.update(
                    parameters=planned.parameter_count,
                    layers=[leaf.name for leaf in planned.leaves],
                    epochs=experiment.training.epochs,
                    host=lock.owner.host,
                )
                recorder.enter("finished", f"{origin}, not trained here")
                recorder.write(durable=True)
    except BaseException:
        run.discard()
        raise
    return run
