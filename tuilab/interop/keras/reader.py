"""The process that reads a Keras file: `reader FILE FOLDER MEMORY SECONDS`, with limits, trusting nothing in it.

HDF5 is a large library in C, and a file may have been made to harm it: what happens to it here harms nobody. Of a good
file it leaves contents.json and arrays.safetensors in FOLDER; otherwise it says why on stdout. It follows no link out
of the file, loads no plug-in, unpickles nothing and runs nothing that a file holds.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuilab.interop.keras.layout import (
    MOST_ARRAY_BYTES,
    MOST_CONFIG_BYTES,
    MOST_DEPTH,
    MOST_OBJECTS,
    REFUSED,
    Contents,
    StoredArray,
    StoredLayer,
)

if TYPE_CHECKING:
    import h5py

CONTENTS, ARRAYS = "contents.json", "arrays.safetensors"
MOST_GROWTH = 20
"""How many times larger than the file the arrays in it may be: weights hardly shrink when they are packed."""
GROWTH_FREE = 16 << 20
"""Bytes to which even a small file may grow."""
MOST_MEMBERS = 10_000
SLAB = 16 << 20
"""Bytes of an array that are copied at once."""
LARGEST_CHUNK = 256 << 20
FILTERS = {"1": "gzip", "2": "shuffle", "3": "fletcher32", "32000": "lzf"}
"""Ways of packing that h5py itself brings."""
TYPES = {"f2": "F16", "f4": "F32", "f8": "F64"}
"""NumPy's names of the numbers that weights are made of, and safetensors'."""
STATES = ("optimizer", "optimizer_weights", "seed_generator")
"""Groups of a file that hold nothing of what the network computes."""
MODELS = ("layers", "_layer_checkpoint_dependencies")
"""Groups in which models keep their layers, which are no layers themselves; the second is that of 2023."""


class Refused(Exception):
    """A file that is not read, and why."""


def main(file: str, folder: str, memory: str, seconds: str) -> int:
    """Read the file; return the exit code."""
    _limit(int(memory), int(seconds))
    try:
        _read(Path(file), Path(folder))
    except Refused as refused:
        print(refused)
        return REFUSED
    except MemoryError:
        print("takes more memory to read than weights of its size do")
        return REFUSED
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        NotImplementedError,
        EOFError,
    ) as error:
        # what h5py and zipfile raise for damaged files; their words are for programmers
        print("is damaged: " + " ".join(str(error).split())[:200])
        return REFUSED
    return 0


def _limit(memory: int, seconds: int) -> None:
    """Bound what this process may take."""
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 2 * MOST_ARRAY_BYTES,
    }
    for limit, value in limits.items():
        with suppress(ValueError, OSError):  # a system that does not know the limit, or has a lower one
            resource.setrlimit(limit, (value, value))


def _read(file: Path, folder: Path) -> None:
    size = file.stat().st_size
    most = min(GROWTH_FREE + MOST_GROWTH * size, MOST_ARRAY_BYTES)
    config = version = ""
    if zipfile.is_zipfile(file):
        config, version = _unpack(file, folder / "weights.h5", most)
        file = folder / "weights.h5"
    import h5py

    if not h5py.is_hdf5(file):
        raise Refused("is neither a .keras file nor an HDF5 file")
    with h5py.File(file, "r") as opened:
        _Survey().check(opened)
        layers: list[StoredLayer] = []
        arrays: list[h5py.Dataset] = []
        old = next((group for group in (opened, _group(opened, "model_weights")) if _has(group, "layer_names")), None)
        if old is not None:
            config, version = _text(opened, "model_config"), _text(old, "keras_version") or version
            layers = list(_old_layers(old, arrays))
        else:
            layers = list(_new_layers(opened, (), arrays))
        if sum(array.size * array.dtype.itemsize for array in arrays) > most:
            raise Refused("is made to harm: its arrays are far larger than the file")
        _write(arrays, folder / ARRAYS)
    if (folder / "weights.h5").exists():
        (folder / "weights.h5").unlink()
    layout = "keras 3" if old is None else "keras 2"
    (folder / CONTENTS).write_text(Contents(layout, version, config, tuple(layers)).to_json(), encoding="utf-8")


def _unpack(file: Path, target: Path, most: int) -> tuple[str, str]:
    """Write the weights in a .keras file to `target`; return the model's description and the version of Keras."""
    with zipfile.ZipFile(file) as archive:
        members = {entry.filename: entry for entry in archive.infolist()}
        if len(archive.infolist()) > MOST_MEMBERS or len(members) < len(archive.infolist()):
            raise Refused("is made to harm: too many parts, or several of one name")
        if "model.weights.json" in members:
            raise Refused("is in several files; save it with Keras in one")
        for name in ("config.json", "model.weights.h5"):
            if name not in members:
                raise Refused(f"is a zip file, but no .keras file: it has no {name}")
        config = _member(archive, members["config.json"], MOST_CONFIG_BYTES)
        version = ""
        if "metadata.json" in members:
            with suppress(ValueError, AttributeError):
                version = str(json.loads(_member(archive, members["metadata.json"], 65_536)).get("keras_version", ""))
        weights = members["model.weights.h5"]
        if weights.file_size > most:
            raise Refused("is a zip bomb: its weights are far larger than the file")
        with archive.open(weights) as source, target.open("wb") as copy:
            left = weights.file_size
            while block := source.read(min(SLAB, left + 1)):
                left -= len(block)
                if left < 0:
                    raise Refused("is a zip bomb: it holds more than it says")
                copy.write(block)
    return config, version


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> str:
    with archive.open(entry) as source:
        content = source.read(most + 1)
    if len(content) > most:
        raise Refused(f"is made to harm: {entry.filename} is far too large")
    return content.decode("utf-8")


class _Survey:
    """Looks at every object of a file before anything of it is read."""

    def __init__(self) -> None:
        self.objects = 0

    def check(self, group: h5py.Group, depth: int = 0) -> None:
        """Raise Refused where a group holds, at any depth, what no file of Keras does."""
        import h5py

        if depth > MOST_DEPTH:
            raise Refused(f"is made to harm: more than {MOST_DEPTH} groups, one in the other")
        for name in group:
            self.objects += 1
            if self.objects > MOST_OBJECTS:
                raise Refused(f"is made to harm: more than {MOST_OBJECTS:,} groups and arrays")
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise Refused(f"links to another file: {name}")
            if not isinstance(link, h5py.HardLink):
                raise Refused(f"has a link: {name}")
            entry = group.get(name)
            if isinstance(entry, h5py.Group):
                self.check(entry, depth + 1)
            elif isinstance(entry, h5py.Dataset):
                self._check_array(entry, name)
            else:
                raise Refused(f"holds something that is neither a group nor an array: {name}")

    def _check_array(self, array: h5py.Dataset, name: str) -> None:
        if array.is_virtual or array.external:
            raise Refused(f"has an array whose numbers are in another file: {name}")
        if array.dtype.kind not in "fiub":
            raise Refused(f"has an array of objects or texts instead of numbers: {name}")
        if array.shape is None or array.ndim > 8:
            raise Refused(f"has an array of a shape that no weights have: {name}")
        if array.size * array.dtype.itemsize > MOST_ARRAY_BYTES:
            raise Refused(f"has an array of an absurd shape: {name} {array.shape}")
        for kind in array._filters:
            if kind not in (*FILTERS, *FILTERS.values()):
                raise Refused(f"has an array that is packed in a way that needs a plug-in: {name}")
        if array.chunks and _product(array.chunks) * array.dtype.itemsize > LARGEST_CHUNK:
            raise Refused(f"has an array in absurdly large chunks: {name}")


def _old_layers(group: h5py.Group, arrays: list[h5py.Dataset]) -> Iterator[StoredLayer]:
    """Yield the layers of Keras 2's layout, in its order: attributes name them and their arrays."""
    for name in _names(group, "layer_names"):
        layer = _group(group, name)
        if layer is None:
            raise Refused(f"is damaged: layer {name} is named and not there")
        found = []
        for path in _names(layer, "weight_names"):
            array = layer.get(path)
            if not _is_array(array):
                raise Refused(f"is damaged: {path} is named and not there")
            found.append((path, array))
        # a model in a model is one layer here: the paths of its arrays tell its own layers apart
        inner: dict[str, list[tuple[str, h5py.Dataset]]] = {}
        for path, array in found:
            inner.setdefault(path.rpartition("/")[0], []).append((path, array))
        for place, own in inner.items():
            last = place.rpartition("/")[2] if len(inner) > 1 else name
            yield StoredLayer((name, last) if len(inner) > 1 else (name,), last, _stored(own, arrays))


def _new_layers(group: h5py.Group, path: tuple[str, ...], arrays: list[h5py.Dataset]) -> Iterator[StoredLayer]:
    """Yield the layers of Keras 3's layout: each has a group `vars`, whose arrays have the names 0, 1, …"""
    own = _group(group, "vars")
    if own is not None and path:
        names = sorted((name for name in own if _is_array(own.get(name))), key=lambda name: (len(name), name))
        if names:
            yield StoredLayer(path, _text(own, "name"), _stored([(name, own[name]) for name in names], arrays))
    for name in group:
        inner = _group(group, name)
        if inner is not None and name != "vars" and name not in STATES:
            yield from _new_layers(inner, path if name in MODELS else (*path, name), arrays)


def _stored(found: Sequence[tuple[str, h5py.Dataset]], arrays: list[h5py.Dataset]) -> tuple[StoredArray, ...]:
    """Put arrays among those that are handed over."""
    kept = []
    for name, array in found:
        if array.dtype.kind == "f" and array.dtype.str[1:] in TYPES and array.attrs.get("dtype") is None:
            kept.append(StoredArray(name, str(len(arrays)), tuple(map(int, array.shape))))
            arrays.append(array)
        elif array.dtype.kind == "f" or array.attrs.get("dtype") is not None:
            raise Refused(f"has weights of a type that NumPy has not: {name}; save them as float32")
    return tuple(kept)


def _write(arrays: Sequence[h5py.Dataset], path: Path) -> None:
    """Write arrays as a safetensors file, a part of one at a time."""
    header, end = {}, 0
    for key, array in enumerate(arrays):
        start, end = end, end + array.size * array.dtype.itemsize
        kind = TYPES[array.dtype.str[1:]]
        header[str(key)] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            for part in _parts(array):
                file.write(part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes())


def _parts(array: h5py.Dataset) -> Iterator[Any]:
    """Yield an array in stretches along its first axis."""
    if not array.ndim:
        yield array[()]
        return
    row = max(1, _product(array.shape[1:]) * array.dtype.itemsize)
    rows = max(1, SLAB // row)
    for start in range(0, array.shape[0], rows):
        yield array[start : start + rows]


def _product(sizes: Sequence[int]) -> int:
    return math.prod(map(int, sizes))


def _has(group: h5py.Group | None, name: str) -> bool:
    """Return whether a group has an attribute, or the first part of one that was too long for one."""
    return group is not None and (name in group.attrs or f"{name}0" in group.attrs)


def _group(group: h5py.Group, name: str) -> h5py.Group | None:
    import h5py

    found = group.get(name)
    return found if isinstance(found, h5py.Group) else None


def _is_array(found: Any) -> bool:
    import h5py

    return isinstance(found, h5py.Dataset)


def _text(group: h5py.Group, name: str) -> str:
    """Return an attribute that is a text; an empty one where it is missing."""
    texts = _texts(group, name)
    if len(texts) > 1:
        raise Refused(f"is damaged: {name} is no text")
    return texts[0] if texts else ""


def _names(group: h5py.Group, name: str) -> list[str]:
    """Return an attribute that is a list of texts; Keras spreads a long one over several."""
    if name in group.attrs:
        return _texts(group, name)
    found: list[str] = []
    while f"{name}{len(found)}" in group.attrs:
        found.append(f"{name}{len(found)}")
    return [text for part in found for text in _texts(group, part)]


def _texts(group: h5py.Group, name: str) -> list[str]:
    """Return the texts in an attribute, of whichever way to store texts."""
    import h5py

    if name not in group.attrs:
        return []
    kept = group.attrs.get_id(name)
    if not _product(kept.shape):
        return []
    if kept.dtype.kind != "S" and h5py.check_string_dtype(kept.dtype) is None:
        raise Refused(f"is damaged: {name} is no text")
    if _product(kept.shape) > MOST_OBJECTS or kept.dtype.itemsize > MOST_CONFIG_BYTES:
        raise Refused(f"is made to harm: {name} is far too long")
    value = group.attrs[name]
    values = value.ravel().tolist() if hasattr(value, "ravel") else [value]
    texts = [one.decode("utf-8") if isinstance(one, bytes) else str(one) for one in values]
    if sum(map(len, texts)) > MOST_CONFIG_BYTES:
        raise Refused(f"is made to harm: {name} is far too long")
    return texts


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
