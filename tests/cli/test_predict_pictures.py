"""`tuilab predict RUN IMAGE…`: what pictures show, and what was done to them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Tuilab
from tuilab.blocks.datasets import Digits
from tuilab.data.bundled import read_bundled

EXPERIMENT = """
name = "digits-pictures"
[data]
dataset = "digits"
augmentation = [
    { type = "random_rotation", factor = 0.02 },
    { type = "mixup", alpha = 0.1 },
    { type = "resizing", height = 10, width = 10 },
]
[[layers]]
type = "dense"
units = 10
activation = "softmax"
[training]
epochs = 12
loss = "categorical_crossentropy"
optimizer = { type = "adam", learning_rate = 0.01 }
metrics = ["accuracy"]
"""


def test_pictures_are_predicted(tuilab: Tuilab) -> None:
    tuilab.write("digits.toml", EXPERIMENT)
    trained = tuilab("train", "digits.toml", "--json").json
    assert trained["test"]["accuracy"] > 0.85
    assert trained["parameters"] == 1010
    images, labels = read_bundled(Digits())
    chosen = [int(np.flatnonzero(labels == digit)[3]) for digit in range(10)]
    names = [f"{label}.png" for label in range(10)]
    for name, index in zip(names, chosen, strict=True):
        pixels = np.round(images[index, ..., 0] * (255 / 16)).astype("uint8")
        Image.fromarray(pixels).save(tuilab.folder / name)
    np.save(tuilab.folder / "digits.npy", images[chosen])
    predicted = tuilab("predict", "last", *names, "--json")
    assert predicted.stderr == ""
    assert [row["file"] for row in predicted.json] == names
    for ours, row in zip(predicted.json, tuilab("predict", "last", "digits.npy", "--json").json, strict=True):
        assert ours["prediction"] == row["prediction"]
        assert ours["probabilities"] == pytest.approx(row["probabilities"])
    assert sum(row["prediction"] == row["file"][0] for row in predicted.json) >= 8

    Image.open(tuilab.folder / "3.png").convert("RGB").resize((64, 32)).save(tuilab.folder / "large.jpg")
    shown = tuilab("predict", "last", "large.jpg", "0.png")
    assert shown.stderr.strip() == ("large.jpg: its colours become greys, resized from 64 × 32 to 8 × 8 pixels")
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["picture", "prediction", "probability"]
    assert len(lines) == 1 + 2 * 5
    assert [line.split()[0] for line in lines[1::5]] == ["large.jpg", "0.png"]
    first = [float(line.split()[-1]) for line in lines[1:6]]
    assert first == sorted(first, reverse=True)
    assert len(tuilab("predict", "last", "0.png", "--top", "2").stdout.splitlines()) == 3
    assert len(tuilab("predict", "last", "0.png", "--top", "99").stdout.splitlines()) == 11

    tuilab.write("broken.png", "no picture")
    assert "broken.png: is no PNG or JPEG picture" in tuilab("predict", "last", "0.png", "broken.png", code=1).stderr
    mixed = tuilab("predict", "last", "0.png", "digits.npy", code=2)
    assert "only where all of them are pictures" in mixed.stderr
    assert ".png, .jpg" in tuilab("predict", "last", "movie.gif", code=1).stderr


def test_a_network_for_a_table_takes_no_pictures(tuilab: Tuilab) -> None:
    tuilab("train", "iris-8-8-3", "--epochs", "1")
    Image.new("RGB", (4, 4)).save(tuilab.folder / "a.png")
    assert "takes no pictures but samples of 4" in tuilab("predict", "last", "a.png", code=1).stderr


def test_pictures_for_a_network_that_was_trained_on_numbers_from_0_to_1(tuilab: Tuilab) -> None:
    images, labels = read_bundled(Digits())
    parts = {"x_train": (images / 16).astype("float32"), "y_train": labels}
    np.savez(tuilab.folder / "own.npz", **parts)
    own = EXPERIMENT.replace('dataset = "digits"', 'path = "own.npz"\nnormalization = "rescale"')
    tuilab.write("own.toml", own)
    tuilab("train", "own.toml")
    Image.fromarray(np.round(images[5, ..., 0] * (255 / 16)).astype("uint8")).save(tuilab.folder / "a.png")
    np.save(tuilab.folder / "a.npy", parts["x_train"][5:6])
    picture, array = (tuilab("predict", "last", f"a.{kind}", "--json").json[0] for kind in ("png", "npy"))
    assert picture["prediction"] == array["prediction"]
    assert picture["probabilities"] == pytest.approx(array["probabilities"], abs=0.01)
