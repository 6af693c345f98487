"""The benchmarks in their short form, which fails where a result is wrong, however long it takes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.side_by_side import compare

ROOT = Path(__file__).parents[1]


def test_ours_and_the_peers_learn(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks", "dense", "cnn", "tiny", "startup", "--short", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row for found in json.loads(file.read_text()).values() for row in found]
    assert {"mnist-cnn, batch 64", "2-8-8-1, tanh, SGD, batch 10", "digits-mlp, whole process"} < {
        row["name"] for row in rows
    }
    assert all(math.isfinite(row["ratio"]) and row["ratio"] > 0 for row in rows)


@pytest.mark.parametrize("wrong", [2.3, math.nan])
def test_a_network_that_does_not_learn_is_named(wrong: float) -> None:
    with pytest.raises(SystemExit, match="some work: wrong result: the loss of PyTorch is"):
        compare("some work", lambda: 0.1, {"PyTorch": lambda: wrong}, short=True, learned=1.0)
