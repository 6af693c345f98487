"""`tuilab evaluate` and `tuilab predict`: what a trained network can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuilab.cli.options import Best, DataDir, Json, Run, Runs
from tuilab.cli.output import message, number, print_json, print_table
from tuilab.text import clean_text

if TYPE_CHECKING:
    from tuilab.blocks.arrays import HostArray
    from tuilab.blocks.metrics import Outputs
    from tuilab.runs.trained import TrainedRun


def evaluate(run: Run, best: Best = False, runs: Runs = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Measure a trained network on every part of its data."""
    from tuilab.data.load import load
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.status import finite
    from tuilab.runs.trained import TrainedRun

    trained = TrainedRun(find_run(runs_folder(runs), run), best)
    data = load(trained.experiment.data, trained.experiment.seed, data_dir, glance=True)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    results = {name: finite(trained.evaluate(split)) for name, split in parts.items() if split}
    if as_json:
        print_json({"run": trained.run.name, **{name: results.get(name) for name in parts}})
        return
    rows = [[name, *map(number, values.values())] for name, values in results.items()]
    print_table(["", *results["train"]], rows, right=range(1, 20))


def predict(
    run: Run,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="Samples: .csv with the features' names, .npy or .npz; or pictures, .png and .jpg."
        ),
    ],
    best: Best = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to print for a picture.")] = 5,
    runs: Runs = None,
    as_json: Json = False,
) -> None:
    """Predict the samples of a file, or what pictures show, with a trained network."""
    from tuilab.data.features import read_features
    from tuilab.data.pictures import is_picture
    from tuilab.errors import UsageError
    from tuilab.runs.directory import find_run, runs_folder
    from tuilab.runs.trained import TrainedRun

    pictures = [is_picture(file) for file in files]
    if len(files) > 1 and not all(pictures):
        raise UsageError("several files can be predicted at once only where all of them are pictures: .png, .jpg")
    trained = TrainedRun(find_run(runs_folder(runs), run), best)
    features = _read_pictures(files, trained) if all(pictures) else read_features(files[0], trained.info)
    outputs = trained.predict(features)
    predictions = [_prediction(row, trained.network.plan.outputs, trained.info.classes) for row in outputs]
    if all(pictures):
        _show_pictures([clean_text(str(file), 400) for file in files], predictions, top, as_json)
        return
    if as_json:
        print_json(predictions)
        return
    rows = [[str(index), _shown(row["prediction"]), _likely(row)] for index, row in enumerate(predictions)]
    print_table(["row", "prediction", "probabilities"], rows, right=[0])


def _read_pictures(files: list[Path], trained: TrainedRun) -> HostArray:
    """Return pictures as samples, (n, height, width, channels), and say what was changed for that."""
    import numpy as np

    from tuilab.data.pictures import read_picture

    samples = []
    for file in files:
        sample, changes = read_picture(file, trained.info, trained.info.pixel_maximum)
        samples.append(sample)
        if changes:
            message(f"{clean_text(str(file), 400)}: {', '.join(changes)}")
    return np.stack(samples)


def _show_pictures(names: list[str], predictions: list[dict[str, Any]], top: int, as_json: bool) -> None:
    if as_json:
        print_json([{"file": name, **row} for name, row in zip(names, predictions, strict=True)])
        return
    rows = []
    for name, row in zip(names, predictions, strict=True):
        likely = [(shown, f"{probability:.4f}") for shown, probability in _most_likely(row, top)]
        for index, (shown, probability) in enumerate(likely or [(_shown(row["prediction"]), "")]):
            rows.append([name if index == 0 else "", shown, probability])
    print_table(["picture", "prediction", "probability"], rows, right=[2])


def _prediction(row: HostArray, outputs: Outputs, classes: tuple[str, ...]) -> dict[str, Any]:
    values = [float(value) for value in row]
    if outputs.task == "regression":
        return {"prediction": values[0] if len(values) == 1 else values}
    if outputs.task == "binary" and len(values) == 1:
        chosen = classes[values[0] > outputs.threshold]
        likely = [1 - values[0], values[0]]
    elif outputs.task == "multi_label":
        names = [name for name, value in zip(classes, values, strict=True) if value > outputs.threshold]
        return {"prediction": names, "probabilities": dict(zip(classes, values, strict=True))}
    else:
        chosen, likely = classes[int(row.argmax())], values
    if outputs.threshold == 0:  # scores, not probabilities
        return {"prediction": chosen}
    return {"prediction": chosen, "probabilities": dict(zip(classes, likely, strict=True))}


def _shown(prediction: Any) -> str:
    if isinstance(prediction, list):
        return ", ".join(map(_shown, prediction)) or "–"
    return number(prediction) if isinstance(prediction, float) else str(prediction)


def _likely(row: dict[str, Any]) -> str:
    """The three most probable classes."""
    return "  ".join(f"{name} {value:.3f}" for name, value in _most_likely(row, 3))


def _most_likely(row: dict[str, Any], count: int) -> list[tuple[str, float]]:
    probabilities: dict[str, float] = row.get("probabilities", {})
    return sorted(probabilities.items(), key=lambda item: -item[1])[:count]
