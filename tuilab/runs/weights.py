"""Parameters of a network as a safetensors file."""

from __future__ import annotations

from pathlib import Path

from tuilab.blocks.arrays import Array
from tuilab.engine.network import Network
from tuilab.errors import UsageError
from tuilab.runs.tensors import MOST_HEADER_BYTES, read_tensors, write_tensors
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
        tensors = read_tensors(path, most_bytes)
    except ValueError as error:
        raise UsageError(f"{source}: cannot be read as weights: {error}") from None
    wanted = dict(network.parameters())
    if set(tensors) != set(wanted):
        odd = sorted(set(tensors) ^ set(wanted))[0]
        state = "missing" if odd in wanted else "not in this network"
        raise UsageError(f"{source}: does not fit the experiment: {clean_text(odd)} is {state}")
    for name, value in wanted.items():
        stored = tensors[name]
        if stored.shape != value.shape:
            raise UsageError(f"{source}: {clean_text(name)} is {stored.shape}, not {value.shape}")
        if stored.dtype.kind != "f":
            raise UsageError(f"{source}: {clean_text(name)} holds {stored.dtype}, not floating-point numbers")
    with network.ops.quiet():  # numbers beyond the network's dtype become infinity
        for name, value in wanted.items():
            value[...] = network.ops.xp.asarray(tensors[name], dtype=value.dtype)
