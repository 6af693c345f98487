"""From the settings of an experiment to data: every set, its parts, and nothing that leaks from one to another."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.data.cifar_files import write_archive
from tests.data.idx_files import write_set
from tuilab.blocks.datasets import Dataset, FashionMnist, Mnist
from tuilab.blocks.samples import Data, Split
from tuilab.data.load import describe, load
from tuilab.errors import DataError
from tuilab.experiment.document import DataSettings


@dataclass(frozen=True)
class Row:
    """What a set is with default settings: samples in each part, what "auto" scales by, and the type it is kept in."""

    name: str
    train: int
    validation: int
    test: int
    scaling: str
    kept: str = "float32"


SETS = [
    Row("gate_and", 4, 0, 0, "none"),
    Row("gate_or", 4, 0, 0, "none"),
    Row("gate_nand", 4, 0, 0, "none"),
    Row("gate_xor", 4, 0, 0, "none"),
    Row("circle", 360, 40, 100, "none"),
    Row("xor", 360, 40, 100, "none"),
    Row("gauss", 360, 40, 100, "none"),
    Row("spiral", 360, 40, 100, "none"),
    Row("plane", 864, 96, 240, "none"),
    Row("gauss_regression", 864, 96, 240, "none"),
    Row("moons", 360, 40, 100, "standardize"),
    Row("blobs", 360, 40, 100, "standardize"),
    Row("pass_fail", 144, 16, 40, "standardize"),
    Row("multilabel", 432, 48, 120, "standardize"),
    Row("iris", 108, 12, 30, "standardize"),
    Row("wine", 128, 14, 36, "standardize"),
    Row("breast_cancer", 409, 46, 114, "standardize"),
    Row("digits", 1294, 144, 359, "1/16", "uint8"),
    Row("diabetes", 319, 35, 88, "standardize"),
    Row("mnist", 36, 4, 20, "1/255", "uint8"),  # a small one, written by the test
    Row("fashion_mnist", 36, 4, 20, "1/255", "uint8"),
    Row("cifar10", 18, 2, 4, "1/255", "uint8"),
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_set(Mnist(), folder / "mnist")
    write_set(FashionMnist(), folder / "fashion-mnist")
    write_archive(folder / "cifar10")
    return folder


def parts_of(data: Data) -> list[Split]:
    return [part for part in (data.train, data.validation, data.test) if part is not None]


def test_every_set_has_a_row() -> None:
    assert {row.name for row in SETS} == set(Dataset.offered())


@pytest.mark.parametrize("row", SETS, ids=lambda row: row.name)
def test_every_set_loads(row: Row, data_dir: Path) -> None:
    settings = DataSettings(dataset=row.name)
    data = load(settings, 0, data_dir)
    info = describe(settings)
    assert data.info == info
    sizes = [0 if part is None else len(part) for part in (data.train, data.validation, data.test)]
    assert sizes == [row.train, row.validation, row.test]
    for part in parts_of(data):
        assert part.features.shape == (len(part), *info.input_shape)
        assert part.features.dtype == row.kept
        assert part.features.flags.c_contiguous
        if info.task in ("binary", "categorical"):
            assert part.targets.shape == (len(part),)
            assert part.targets.dtype == np.int64
            assert set(part.targets) <= set(data.train.targets) == set(range(len(info.classes)))
        else:
            width = len(info.classes) if info.task == "multi_label" else info.targets
            assert part.targets.shape == (len(part), width)
            assert part.targets.dtype == np.float32
    if row.scaling == "none":
        assert data.scaling is None
        return
    assert data.scaling is not None
    seen = (data.train.features - data.scaling.offset) * data.scaling.scale
    if row.scaling == "standardize":
        np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-4)
    else:
        assert data.scaling.scale == np.float32(1) / np.float32(row.scaling.removeprefix("1/"))
        assert seen.min() == 0
        assert 0.99 < seen.max() <= 1


@pytest.mark.parametrize("name", [row.name for row in SETS if row.validation])
def test_parts_are_disjoint_and_cover_everything(name: str, data_dir: Path) -> None:
    def rows(part: Split) -> np.ndarray:
        return np.concatenate([part.features.reshape(len(part), -1), part.targets.reshape(len(part), -1)], axis=1)

    split = load(DataSettings(dataset=name), 3, data_dir)
    whole = load(DataSettings(dataset=name, validation_split=0, test_split=0), 3, data_dir)
    together = np.concatenate([rows(part) for part in parts_of(split)])
    everything = np.concatenate([rows(part) for part in parts_of(whole)])
    assert together.shape == everything.shape
    order = [np.lexsort(table.T) for table in (together, everything)]
    assert np.array_equal(together[order[0]], everything[order[1]])  # as multisets: each sample once


@pytest.mark.parametrize("name", ["iris", "digits", "breast_cancer", "mnist"])
def test_every_class_has_its_share_in_every_part(name: str, data_dir: Path) -> None:
    data = load(DataSettings(dataset=name, validation_split=0.25, test_split=0.25), 1, data_dir)
    whole = np.bincount(np.concatenate([part.targets for part in parts_of(data)]))
    for part in parts_of(data):
        share = np.bincount(part.targets, minlength=len(whole)) / len(part)
        np.testing.assert_allclose(share, whole / whole.sum(), atol=1.01 / len(part))


def test_the_seed_decides_the_split_and_nothing_else() -> None:
    settings = DataSettings(dataset="iris")
    first, again, other = load(settings, 1), load(settings, 1), load(settings, 2)
    for part, same in zip(parts_of(first), parts_of(again), strict=True):
        assert part.features.tobytes() == same.features.tobytes()
        assert part.targets.tobytes() == same.targets.tobytes()
    assert first.test is not None
    assert other.test is not None
    assert not np.array_equal(first.test.features, other.test.features)


def test_a_set_that_brings_its_test_part_keeps_it(data_dir: Path) -> None:
    written = load(DataSettings(dataset="mnist", validation_split=0, test_split=0), 0, data_dir)
    for share in (0.0, 0.5):
        data = load(DataSettings(dataset="mnist", test_split=share), 9, data_dir)
        assert data.test is not None
        assert written.test is not None
        assert np.array_equal(data.test.features, written.test.features)
        assert np.array_equal(data.test.targets, written.test.targets)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_gates_train_on_all_four_points_whatever_the_settings(share: float) -> None:
    data = load(DataSettings(dataset="gate_xor", validation_split=share, test_split=share), 0)
    assert len(data.train) == 4
    assert data.validation is None
    assert data.test is None


def table(path: Path, features: np.ndarray, classes: np.ndarray) -> DataSettings:
    rows = "\n".join(f"{row},{features[row]},{'ab'[classes[row]]}" for row in range(len(features)))
    path.write_text(f"number,value,y\n{rows}\n")
    return DataSettings(path=str(path), target="y")


def test_nothing_leaks_from_the_other_parts_into_training(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values, classes = generator.normal(10, 2, 100), generator.integers(0, 2, 100)
    before = load(table(tmp_path / "a.csv", values, classes), 4)
    for part in (before.test, before.validation):
        assert part is not None
        values[part.features[:, 0].astype(int)] = 1e6
    after = load(table(tmp_path / "a.csv", values, classes), 4)
    assert after.test is not None
    assert set(after.test.features[:, 1]) == {1e6}
    assert np.array_equal(before.train.features, after.train.features)
    assert before.scaling is not None
    assert after.scaling is not None
    assert np.array_equal(before.scaling.offset, after.scaling.offset)
    assert np.array_equal(before.scaling.scale, after.scaling.scale)
    assert after.scaling.offset == pytest.approx(after.train.features.mean(axis=0), rel=1e-6)


def test_new_points_of_the_spiral_are_between_those_of_training() -> None:
    data = load(DataSettings(dataset="spiral"), 0)
    assert data.test is not None
    distance = np.linalg.norm(data.test.features[:, None] - data.train.features, axis=-1)
    assert distance.min() > 0
    assert np.bincount(data.test.targets).tolist() == [50, 50]


def test_own_arrays(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.arange(40) % 4)
    settings = DataSettings(path=str(tmp_path / "own.npz"))
    data = load(settings, 0)
    assert data.info == describe(settings)
    assert [len(part) for part in parts_of(data)] == [29, 3, 8]
    assert data.train.features.dtype == np.uint8
    assert data.scaling is not None
    assert data.scaling.scale == np.float32(1 / 255)
    np.savez(tmp_path / "own.npz", x_train=images / 7.0, y_train=np.arange(40) % 4, x_test=images[:5], y_test=[0] * 5)
    data = load(settings, 0)
    assert [len(part) for part in parts_of(data)] == [36, 4, 5]
    assert data.scaling is not None
    assert data.scaling.offset.shape == (1,)


@pytest.mark.parametrize(
    ("normalization", "offset", "scale"),
    [("none", None, None), ("rescale", 0, 1 / 255), ("standardize", 5.8, 1 / 0.82)],
)
def test_normalization_can_be_chosen(normalization: str, offset: float | None, scale: float | None) -> None:
    scaling = load(DataSettings(dataset="iris", normalization=normalization), 0).scaling
    if offset is None:
        assert scaling is None
    else:
        assert scaling is not None
        assert scaling.offset.reshape(-1)[0] == pytest.approx(offset, rel=0.05)
        assert scaling.scale.reshape(-1)[0] == pytest.approx(scale, rel=0.05)


def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    def refusal(**settings: object) -> str:
        with pytest.raises(DataError) as error:
            load(DataSettings(**settings), 0, tmp_path)
        return str(error.value).replace(str(tmp_path), "DIR")

    (tmp_path / "a.csv").write_text("x,y\n1,a\n2,a\n3,b\n")
    np.savez(tmp_path / "gap.npz", x_train=np.ones((4, 2)), y_train=np.array([0, 0, 2, 2]))
    path = str(tmp_path / "a.csv")
    assert "DIR/b.csv: there is no such file" in refusal(path=str(tmp_path / "b.csv"), target="y")
    assert "DIR/a.csv: class 'b' has a single sample" in refusal(path=path, target="y")
    assert "DIR/gap.npz: class '1' has no sample" in refusal(path=str(tmp_path / "gap.npz"))
    assert "data.test_split = 0.99 leaves too few samples" in refusal(dataset="iris", test_split=0.99)
    assert "data.validation_split = 0.99 leaves too few" in refusal(dataset="iris", validation_split=0.99)
    assert "mnist is not in DIR/mnist" in refusal(dataset="mnist")
    data = load(DataSettings(path=path, target="y", validation_split=0, test_split=0), 0)
    assert len(data.train) == 3


def test_an_empty_class_of_an_idx_set_is_named(tmp_path: Path) -> None:
    write_set(Mnist(), tmp_path / "mnist", train=9)
    with pytest.raises(DataError, match=r"^mnist: class '9' has no sample"):
        load(DataSettings(dataset="mnist"), 0, tmp_path)


def test_the_data_folder_is_the_argument_else_the_environment_else_the_cache(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuilab.data.folders import data_folder

    settings = DataSettings(dataset="mnist")
    monkeypatch.setenv("TUILAB_DATA", str(data_dir))
    assert len(load(settings, 0).train) == 36
    with pytest.raises(DataError, match=f"mnist is not in {tmp_path}"):
        load(settings, 0, tmp_path)
    monkeypatch.setenv("TUILAB_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder().is_relative_to(tmp_path)
    assert data_folder().name == "tuilab"


def test_the_real_mnist_loads_in_order() -> None:
    folder = os.environ.get("TUILAB_DATA")
    if not folder or not (Path(folder) / "mnist").is_dir():
        pytest.skip("TUILAB_DATA names no folder that holds mnist/")
    data = load(DataSettings(dataset="mnist"), 7)
    assert [len(part) for part in parts_of(data)] == [54_000, 6_000, 10_000]
    assert data.validation is not None
    assert np.bincount(data.validation.targets).tolist() == [592, 674, 596, 613, 584, 542, 592, 627, 585, 595]


def test_describe_reads_no_named_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("describe must not read")

    monkeypatch.setattr("builtins.open", forbidden)
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    for name in (*Dataset.offered(), "shape_only"):
        block = Dataset.registry[name]
        assert describe(DataSettings(dataset=name)) == block().info()


def test_tables_of_their_own_for_validation_and_test(tmp_path: Path) -> None:
    def table(name: str, rows: str) -> str:
        (tmp_path / name).write_text(f"size,colour,kind\n{rows}")
        return str(tmp_path / name)

    train = table("train.csv", "1,red,b\n2,blue,a\n3,red,a\n4,blue,b\n")
    validation, test = table("validation.csv", "5,blue,b\n"), table("test.csv", "6,red,a\n7,red,b\n")
    settings = DataSettings(path=train, target="kind", validation_path=validation, test_path=test)
    data = load(settings, 0)
    assert data.validation is not None
    assert data.test is not None
    assert len(data.train) == 4, "nothing is split off"
    assert data.validation.features.tolist() == [[5, 1, 0]]
    assert data.test.features.tolist() == [[6, 0, 1], [7, 0, 1]]
    assert (data.validation.targets.tolist(), data.test.targets.tolist()) == ([1], [0, 1])
    assert data.scaling is not None
    assert data.scaling.offset[0] == 2.5, "of the training part alone"
    table("test.csv", "6,green,a\n")
    with pytest.raises(DataError, match="green"):
        load(settings, 0)
    with pytest.raises(ValueError, match=r"test_path goes with a \.csv file in path"):
        DataSettings(path="own.npz", test_path=test)
