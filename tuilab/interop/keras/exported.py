"""Writes a trained network as a .keras file: Keras 3 loads it, and it predicts the same."""

from __future__ import annotations

import json
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from tuilab.blocks.samples import Scaling
from tuilab.errors import TuilabError, UsageError
from tuilab.interop.keras.blocks import keras_class
from tuilab.interop.keras.files import require_h5py
from tuilab.interop.keras.graph import Graph
from tuilab.runs.directory import new_file, storage
from tuilab.runs.trained import TrainedRun
from tuilab.text import clean_text

KERAS = "3.0.0"
"""Version of Keras whose files these are."""


class NotInKerasError(TuilabError):
    """A network with parts that Keras has not; nothing was written."""


def export_keras(trained: TrainedRun, file: Path, force: bool = False) -> None:
    """Write a network with its weights as a .keras file that takes samples as the data set stores them, complete or not
    at all.

    Raises UsageError where the file is there already, NotInKerasError with all that Keras has not, StorageError where
    the disk fails.
    """
    require_h5py()
    place = clean_text(str(file))
    if file.suffix != ".keras":
        raise UsageError(f"{place}: Keras wants a name that ends in .keras")
    if file.exists() and not force:
        raise UsageError(f"{place}: is there already; --force replaces it")
    graph = make_graph(trained)
    if graph.problems:
        raise NotInKerasError("\n".join(["Keras cannot have this network:", *map(clean_text, graph.problems)]))
    with (
        storage(file, "choose another file"),
        tempfile.TemporaryDirectory(prefix="tuilab-keras-") as folder,
        new_file(file) as partial,
    ):
        weights = Path(folder) / "model.weights.h5"
        _write_weights(trained, graph, weights)
        _write_archive(graph, weights, partial)


def make_graph(trained: TrainedRun) -> Graph:
    """Return the network as layers of Keras', with what is done to samples before it."""
    planned = trained.network.plan
    shape = trained.info.input_shape
    graph = Graph(trained.experiment.name, shape, trained.experiment.training.dtype)
    if trained.scaling is not None:
        for config in _rescaling(trained.scaling):
            graph.add("rescaling", "Rescaling", config, [graph.nodes[-1].name], shape)
    for augmentation in trained.experiment.data.augmentation:
        if not augmentation.random:
            shape = augmentation.output_shape(shape)
            kind, settings = keras_class(type(augmentation)), augmentation.settings()
            graph.add(augmentation.type_name(), kind, settings, [graph.nodes[-1].name], shape)
    if planned.input_shape != shape:
        graph.add("flatten_input", "Flatten", {}, [graph.nodes[-1].name], planned.input_shape)
    graph.chain(planned.layers)
    return graph


def _rescaling(scaling: Scaling) -> list[dict[str, Any]]:
    """Return what does to samples as (x − offset) · scale does, to the last bit: one step after the other."""
    move = {"scale": 1.0, "offset": (-scaling.offset).tolist()}
    stretch = {"scale": scaling.scale.tolist(), "offset": 0.0}
    return [move, stretch] if scaling.offset.any() else [stretch]


def _write_weights(trained: TrainedRun, graph: Graph, path: Path) -> None:
    import h5py

    values = dict(trained.network.parameters())
    places = graph.places()
    with h5py.File(path, "w") as file:
        for node in graph.nodes:
            if node.leaf is None or not node.leaf.parameters:
                continue
            group = file.create_group(f"{places[node.name]}/vars")
            group.attrs["name"] = node.name
            for index, parameter in enumerate(node.leaf.parameters):
                value = values[f"{node.leaf.name}/{parameter.name}"]
                group.create_dataset(str(index), data=trained.network.ops.to_host(value))


def _write_archive(graph: Graph, weights: Path, path: Path) -> None:
    facts = {"keras_version": KERAS, "date_saved": f"{datetime.now():%Y-%m-%d@%H:%M:%S}"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(facts))
        archive.writestr("config.json", json.dumps(graph.config()))
        archive.write(weights, "model.weights.h5")
