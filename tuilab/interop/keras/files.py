"""Keras files, read by a process of its own that is limited in memory and time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tuilab
from tuilab.blocks.arrays import HostArray
from tuilab.errors import TuilabError, UsageError
from tuilab.interop.keras.layout import REFUSED, Contents, StoredArray
from tuilab.text import clean_text

MOST_FILE_BYTES = 16 << 30
MEMORY = 3 << 30
"""Bytes of address space for the reader: libraries take most of it, of an array it holds a part at a time."""
SECONDS = 60
BYTES_A_SECOND = 10 << 20
"""That even a slow disk gives: large files get more time."""
PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from tuilab.interop.keras.reader import main; sys.exit(main(*sys.argv[1:]))"
)


class ForeignFileError(TuilabError):
    """A file that is damaged, made to harm, or of another kind."""


@dataclass(frozen=True)
class KerasFile:
    """What a Keras file holds; its arrays are read one by one, as long as `open_keras` lasts."""

    path: Path
    contents: Contents
    arrays: Path

    def config(self) -> dict[str, Any] | None:
        """Return the model's own description, None where there are weights alone."""
        if not self.contents.config:
            return None
        try:
            config = json.loads(self.contents.config)
        except (ValueError, RecursionError):
            config = None
        if not isinstance(config, dict):
            raise foreign(self.path, "is damaged: its description of the model is no JSON")
        return config

    def read(self, array: StoredArray) -> HostArray:
        """Return the numbers of an array."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.arrays, framework="numpy") as tensors:
                found: HostArray = tensors.get_tensor(array.key)
        except (SafetensorError, OSError) as error:
            raise foreign(self.path, f"could not be read: {error}") from None
        return found


@contextmanager
def open_keras(path: Path) -> Iterator[KerasFile]:
    """Give what a .keras, .weights.h5 or .h5 file holds.

    Raises UsageError where there is no such file or h5py is not installed, ForeignFileError with the reason where the
    file is damaged, made to harm or of another kind.
    """
    require_h5py()
    place = clean_text(str(path))
    if not path.exists():
        raise UsageError(f"{place}: there is no such file")
    if not path.is_file():
        raise UsageError(f"{place}: is not a plain file")
    if (size := path.stat().st_size) > MOST_FILE_BYTES:
        raise foreign(path, f"is too large: {size / 1e9:.1f} GB")
    with tempfile.TemporaryDirectory(prefix="tuilab-keras-") as folder:
        _read(path, Path(folder), SECONDS + size // BYTES_A_SECOND)
        contents = Contents.from_json((Path(folder) / "contents.json").read_text(encoding="utf-8"))
        yield KerasFile(path, contents, Path(folder) / "arrays.safetensors")


def require_h5py() -> None:
    """Raise UsageError where the library that Keras files need is not installed."""
    from importlib.util import find_spec

    if find_spec("h5py") is None:
        raise UsageError("Keras files need the library h5py: pip install 'tuilab[keras]'")


def foreign(path: Path, reason: str) -> ForeignFileError:
    return ForeignFileError(f"{clean_text(str(path))}: {clean_text(reason, 400)}")


def _read(path: Path, folder: Path, seconds: int) -> None:
    """Let a process of its own read the file into `folder`."""
    kept = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    # one thread, for each takes address space; no library of somebody else's for arrays that are packed unusually
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
    package = str(Path(tuilab.__file__).resolve().parents[1])
    command = [
        sys.executable,
        "-P",
        "-c",
        PROGRAM,
        package,
        os.path.abspath(path),
        str(folder),
        str(MEMORY),
        str(seconds),
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise foreign(path, f"takes more than {seconds} s to read: is damaged or made to harm") from None
    if done.returncode == REFUSED:
        raise foreign(path, done.stdout.decode(errors="replace").strip())
    if done.returncode:
        raise foreign(path, _last_words(done))


def _last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """Say why the reader did not end as it should."""
    if done.returncode < 0:
        return "is damaged or made to harm: the process that read it was ended"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"could not be read: {lines[-1] if lines else 'the process that read it failed'}"
