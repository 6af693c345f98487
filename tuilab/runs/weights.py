"""Parameters of a network as a safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tuilab.blocks.arrays import Array, HostArray
from tuilab.engine.network import Network
from tuilab.errors import UsageError
from tuilab.text import clean_text


def save_weights(network: Network, path: Path, values: Array | None = None) -> None:
    """Write every parameter under `layer name/parameter`, with the permissions that new files have; from `values` where
    given, a flat array laid out like the network's arena."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(network.ops.to_host(value)) for name, value in network.parameters(values)}
    with path.open("wb") as file:
        file.write(save(tensors))
        file.flush()
        os.fsync(file.fileno())


def load_weights(network: Network, path: Path) -> None:
    """Read every parameter of `network` from a file; raises UsageError where the file does not fit, and then changes
    nothing."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    source = clean_text(str(path))
    try:
        tensors: dict[str, HostArray] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{source}: cannot be read as weights: {clean_text(str(error))}") from None
    wanted = dict(network.parameters())
    if set(tensors) != set(wanted):
        odd = sorted(set(tensors) ^ set(wanted))[0]
        state = "missing" if odd in wanted else "not in this network"
        raise UsageError(f"{source}: does not fit the experiment: {clean_text(odd)} is {state}")
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            raise UsageError(f"{source}: {clean_text(name)} is {tensors[name].shape}, not {value.shape}")
    for name, value in wanted.items():
        value[...] = network.ops.xp.asarray(tensors[name], dtype=value.dtype)
