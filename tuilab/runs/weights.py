"""Parameters of a network as a safetensors file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import Array
from tuilab.engine.network import Network
from tuilab.errors import UsageError
from tuilab.runs.tensors import MOST_HEADER_BYTES, TensorFile, open_tensors, write_tensors
from tuilab.text import clean_text


def save_weights(network: Network, path: Path, values: Array | None = None) -> None:
    """Write every parameter under `layer name/parameter`, with the permissions that new files have; from `values` where
    given, a flat array laid out like the network's arena."""
    write_tensors({name: network.ops.to_host(value) for name, value in network.parameters(values)}, path)


def load_weights(network: Network, path: Path) -> None:
    """Read every parameter of `network` from a file; raises UsageError where the file does not fit, and then changes
    nothing."""
    source = clean_text(str(path))
    most_bytes = MOST_HEADER_BYTES + 2 * network.arena.values.nbytes  # twice: a file may hold float64 for float32
    try:
        with open_tensors(path, most_bytes) as file:
            _check(file, network, source)
            with network.ops.quiet():  # numbers beyond the network's dtype become infinity
                for name, value in network.parameters():
                    flat = value.reshape(-1)
                    for first, part in file.parts(name):
                        flat[first : first + part.size] = network.ops.xp.asarray(part, dtype=value.dtype)
    except ValueError as error:
        raise UsageError(f"{source}: cannot be read as weights: {error}") from None


def _check(file: TensorFile, network: Network, source: str) -> None:
    """Raise UsageError where the tensors of a file are not those of the network."""
    wanted = {name: value.shape for name, value in network.parameters()}
    if set(file.tensors) != set(wanted):
        odd = sorted(set(file.tensors) ^ set(wanted))[0]
        state = "missing" if odd in wanted else "not in this network"
        raise UsageError(f"{source}: does not fit the experiment: {clean_text(odd)} is {state}")
    for name, shape in wanted.items():
        stored = file.tensors[name]
        if stored.shape != shape:
            raise UsageError(f"{source}: {clean_text(name)} is {stored.shape}, not {shape}")
        if not stored.dtype.startswith("f"):
            raise UsageError(f"{source}: {clean_text(name)} holds {np.dtype(stored.dtype)}, not floating-point numbers")
