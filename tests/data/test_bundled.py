"""Bundled sets: the same numbers as scikit-learn's, without scikit-learn."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tuilab.data
from tuilab.blocks.datasets import BreastCancer, Bundled, Dataset, Diabetes, Digits, Iris, Wine
from tuilab.data.bundled import read_bundled

BUNDLED = [Iris(), Wine(), BreastCancer(), Digits(), Diabetes()]


def test_every_bundled_set_has_a_row_a_file_and_a_source() -> None:
    folder = Path(tuilab.data.__file__).parent / "files"
    names = {name for name, block in Dataset.registry.items() if issubclass(block, Bundled)}
    assert names == {dataset.type_name() for dataset in BUNDLED}
    assert {path.name for path in folder.iterdir()} == {f"{name}.csv.gz" for name in names} | {"SOURCES.md"}
    sources = (folder / "SOURCES.md").read_text()
    assert all(f"`{name}.csv.gz`" in sources for name in names)


@pytest.mark.parametrize("dataset", BUNDLED)
def test_values_names_and_order_are_those_of_scikit_learn(dataset: Bundled) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    keywords = {"scaled": False} if isinstance(dataset, Diabetes) else {}
    expected = getattr(datasets, f"load_{dataset.type_name()}")(**keywords)
    features, targets = read_bundled(dataset)
    info = dataset.info()
    assert np.array_equal(features.reshape(len(features), -1), expected.data.astype(np.float32))
    assert np.array_equal(targets.reshape(-1), expected.target)
    if isinstance(dataset, Digits):
        assert features.dtype == np.uint8
        assert np.array_equal(features[..., 0], expected.images)
    else:
        assert features.dtype == np.float32
        assert info.features == tuple(expected.feature_names)
    if info.classes:
        assert info.classes == tuple(str(name) for name in expected.target_names)


def test_reading_imports_no_scikit_learn() -> None:
    program = (
        "import sys; from tuilab.data.load import load; from tuilab.experiment.document import DataSettings;"
        "load(DataSettings(dataset='digits'), 0);"
        "print(sorted({'sklearn', 'scipy', 'pandas', 'rich', 'typer', 'textual', 'urllib.request'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
