"""Files that are damaged, made to harm or of another kind: one clear message each, and nothing is made."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.interop.conftest import Keras
from tuilab.errors import TuilabError, UsageError
from tuilab.interop.keras import files
from tuilab.interop.keras.files import ForeignFileError, open_keras
from tuilab.interop.keras.imported import import_keras

Write = Callable[[h5py.File, Path], None]


def good(file: h5py.File) -> None:
    """Weights of a dense layer, as Keras 3 writes them."""
    group = file.create_group("layers/dense/vars")
    group["0"], group["1"] = np.ones((4, 3), "f4"), np.ones(3, "f4")


def external_link(file: h5py.File, folder: Path) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink(str(folder / "other.h5"), "/secret")


def soft_link(file: h5py.File, _: Path) -> None:
    file["layers/dense/vars/2"] = h5py.SoftLink("/layers/dense/vars/0")


def external_data(file: h5py.File, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(64))
    file.create_dataset("layers/dense/vars/2", (16,), "f4", external=[(str(folder / "secret"), 0, 64)])


def virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", (4,))
    file.create_virtual_dataset("layers/dense/vars/2", layout)


def objects(file: h5py.File, _: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (2,), h5py.vlen_dtype(np.float32))


def texts(file: h5py.File, _: Path) -> None:
    file["layers/dense/vars/2"] = "import os"


def references(file: h5py.File, _: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (2,), h5py.ref_dtype)


def compound(file: h5py.File, _: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (2,), np.dtype([("a", "f4"), ("b", "i4")]))


def named_type(file: h5py.File, _: Path) -> None:
    file["layers/dense/vars/2"] = np.dtype("f4")


def absurd_shape(file: h5py.File, _: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))


def many_axes(file: h5py.File, _: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (1,) * 20, "f4")


def bomb(file: h5py.File, _: Path) -> None:
    file.create_dataset("layers/dense/vars/2", (1 << 25,), "f4", chunks=(1 << 20,), compression="gzip")
    file["layers/dense/vars/2"][: 1 << 20] = 0


def plug_in(file: h5py.File, _: Path) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((16,))
    made.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple((16,))
    h5py.h5d.create(file.id, b"packed", h5py.h5t.NATIVE_FLOAT, space, made)


def deep(file: h5py.File, _: Path) -> None:
    file.create_group("/".join(["layers"] * 500))


def circle(file: h5py.File, _: Path) -> None:
    file["layers/dense/again"] = file["layers"]


def crowd(file: h5py.File, _: Path) -> None:
    # five groups, each of which holds the next ten times: a hundred thousand ways through them
    inner = file.create_group("crowd5")
    for depth in range(4, -1, -1):
        outer = file.create_group(f"crowd{depth}")
        for index in range(10):
            outer[str(index)] = inner
        inner = outer


def no_floats(file: h5py.File, _: Path) -> None:
    file["layers/dense/vars/2"] = np.ones(3, "f4")
    file["layers/dense/vars/2"].attrs["dtype"] = "bfloat16"


HARMFUL: list[tuple[Write, str]] = [
    (external_link, "links to another file"),
    (soft_link, "has a link"),
    (external_data, "numbers are in another file"),
    (virtual, "numbers are in another file"),
    (objects, "objects or texts"),
    (texts, "objects or texts"),
    (references, "objects or texts"),
    (compound, "objects or texts"),
    (named_type, "neither a group nor an array"),
    (absurd_shape, "absurd shape"),
    (many_axes, "a shape that no weights have"),
    (bomb, "far larger than the file"),
    (plug_in, "needs a plug-in"),
    (deep, "one in the other"),
    (circle, "one in the other"),
    (crowd, "groups and arrays"),
    (no_floats, "a type that NumPy has not"),
]


@pytest.fixture
def experiment(tmp_path: Path) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[data]\ndataset = "iris"\n[[layers]]\ntype = "dense"\nunits = 3\nactivation = "softmax"\n'
        '[training]\nloss = "categorical_crossentropy"\n'
    )
    return str(path)


def refused(file: Path, runs: Path, experiment: str | None = None) -> str:
    """Return what is said of a file that cannot be imported; no run, no child and no folder may stay behind."""
    with pytest.raises(TuilabError) as caught:
        import_keras(file, runs, model=experiment)
    assert not runs.exists() or not list(runs.iterdir())
    assert not list(Path(os.environ["TMPDIR"]).iterdir())
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))


def test_the_file_that_the_harmful_ones_come_from_is_good(tmp_path: Path, runs: Path, experiment: str) -> None:
    with h5py.File(tmp_path / "good.weights.h5", "w") as file:
        good(file)
    assert import_keras(tmp_path / "good.weights.h5", runs, model=experiment).fit.complete


@pytest.mark.parametrize(("write", "message"), HARMFUL, ids=lambda case: getattr(case, "__name__", ""))
def test_harmful_files(tmp_path: Path, runs: Path, experiment: str, write: Write, message: str) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones(4, "f4")
    path = tmp_path / "harmful.weights.h5"
    with h5py.File(path, "w") as file:
        good(file)
        write(file, tmp_path)
    assert message in refused(path, runs, experiment)


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_foreign_files(tmp_path: Path, runs: Path, experiment: str) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "pickle.h5").write_bytes(pickle.dumps(Harm()))
    for name in ("text.keras", "empty.h5", "pickle.h5"):
        assert "is neither a .keras file nor an HDF5 file" in refused(tmp_path / name, runs, experiment)
    assert not (tmp_path / "harm").exists()
    with h5py.File(tmp_path / "nothing.h5", "w"):
        pass
    assert "does not fit" in refused(tmp_path / "nothing.h5", runs, experiment)
    assert "there is no such file" in refused(tmp_path / "missing.h5", runs)
    assert "is not a plain file" in refused(tmp_path, runs)
    os.mkfifo(tmp_path / "pipe.h5")
    assert "is not a plain file" in refused(tmp_path / "pipe.h5", runs)


def test_archives_that_are_no_models(tmp_path: Path, runs: Path) -> None:
    path = tmp_path / "model.keras"
    assert "it has no config.json" in refused(archive(path, {"a.txt": b""}), runs)
    assert "it has no model.weights.h5" in refused(archive(path, {"config.json": b"{}"}), runs)
    sharded = {"config.json": b"{}", "model.weights.json": b"{}"}
    assert "is in several files" in refused(archive(path, sharded), runs)
    zeros = {"config.json": b"{}", "model.weights.h5": bytes(100 << 20)}
    assert "is a zip bomb" in refused(archive(path, zeros, zipfile.ZIP_DEFLATED), runs)
    spaces = {"config.json": b" " * (40 << 20), "model.weights.h5": b""}
    assert "config.json is far too large" in refused(archive(path, spaces, zipfile.ZIP_DEFLATED), runs)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("config.json", "{}")
    assert "several of one name" in refused(path, runs)


CONFIGS = {
    "not JSON": b"{",
    "a list": b"[]",
    "nothing": b"{}",
    "deep": b"[" * 100_000,
    "no layers": b'{"class_name": "Sequential", "config": {"name": "a", "layers": []}}',
    "layers of numbers": b'{"class_name": "Sequential", "config": {"name": "a", "layers": [1, 2]}}',
    "a subclass": b'{"class_name": "Mine", "config": {}}',
    "no config": b'{"class_name": "Sequential"}',
    "odd functional": b'{"class_name": "Functional", "config": {"name": "a", "layers": [{"class_name": "Dense", '
    b'"config": {"name": "d"}, "inbound_nodes": [7]}], "input_layers": [], "output_layers": []}}',
    "names of another kind": b'{"class_name": "Sequential", "config": {"name": 7, "layers": [{"class_name": 3, '
    b'"config": {}}]}}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_damaged_descriptions(tmp_path: Path, runs: Path, name: str) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        good(file)
    members = {"config.json": CONFIGS[name], "model.weights.h5": (tmp_path / "weights.h5").read_bytes()}
    assert "model.keras" in refused(archive(tmp_path / "model.keras", members), runs)


def test_a_layer_of_somebody_else_is_not_run(keras: Keras, tmp_path: Path, runs: Path) -> None:
    assert "layer lambda: Lambda holds code, which is not run" in refused(keras.file("with_lambda"), runs)
    with zipfile.ZipFile(keras.file("dense")) as file:
        members = {entry: file.read(entry) for entry in file.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system", "registered_name": "Mine>system"}
    members["config.json"] = json.dumps(config).encode()
    assert "somebody's own code, which is not run" in refused(archive(tmp_path / "own.keras", members), runs)


def test_a_reader_that_takes_too_long_or_too_much(keras: Keras, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keras.file("dense")
    monkeypatch.setattr(files, "SECONDS", 0)
    assert "takes more than 0 s to read" in refused(path, runs)
    monkeypatch.setattr(files, "SECONDS", 60)
    monkeypatch.setattr(files, "MEMORY", 32 << 20)
    assert path.name in refused(path, runs)


def test_without_h5py(keras: Keras, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keras.file("dense")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install 'tuilab\\[keras\\]'"):
        import_keras(path, runs)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_told_or_does_no_harm(keras: Keras, tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    content = bytearray(keras.file("dense", suffix).read_bytes())
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1), "at") :]
    for place in data.draw(st.lists(st.integers(0, max(len(content) - 1, 0)), max_size=20), "places"):
        if content:
            content[place] = data.draw(st.integers(0, 255), "byte")
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    try:
        with open_keras(path) as opened:
            opened.config()
            for layer in opened.contents.layers:
                for array in layer.arrays:
                    assert opened.read(array).shape == array.shape
    except ForeignFileError:
        event("refused")
    else:
        event("read")
