"""Output, loss, metrics and data that do not belong together: what is said, and where."""

from __future__ import annotations

from typing import Any

import pytest

from tests.experiment.test_plan import DIGITS, FLOWERS, GATE, LABELS, OUTPUT, PRICES, dense
from tuilab.blocks.datasets import DataInfo
from tuilab.blocks.losses import Loss
from tuilab.errors import ExperimentError
from tuilab.experiment.load import make_experiment
from tuilab.experiment.plan import plan

TWO_OUTPUTS = dense(2, "softmax")
DROPOUT = {"type": "dropout", "rate": 0.1}


def problems(
    info: DataInfo, layers: list[Any], loss: Any, data: dict[str, Any] | None = None, **training: Any
) -> list[str]:
    document = {"data": {"dataset": "iris", **(data or {})}, "layers": layers, "training": {"loss": loss, **training}}
    try:
        plan(make_experiment(document), info)
    except ExperimentError as error:
        return [str(problem) for problem in error.problems]
    return []


def fitting(info: DataInfo, data: dict[str, Any] | None = None, **training: Any) -> list[str]:
    """Return what is wrong with `training` for a network whose output and loss fit the data."""
    activation, loss = OUTPUT[info.task]
    units = {"binary": 1, "regression": info.targets}.get(info.task, len(info.classes))
    return problems(info, [dense(units, activation)], loss, data, **training)


# What fits


@pytest.mark.parametrize("info", [FLOWERS, GATE, LABELS, PRICES], ids=lambda info: info.task)
def test_the_usual_output_fits(info: DataInfo) -> None:
    assert fitting(info) == []


@pytest.mark.parametrize(
    ("info", "output", "loss"),
    [
        (GATE, TWO_OUTPUTS, "categorical_crossentropy"),
        (GATE, dense(2, "sigmoid"), "binary_crossentropy"),
        (GATE, dense(1, "step"), "perceptron"),
        (GATE, dense(1), "hinge"),
        (GATE, dense(1, "tanh"), "squared_hinge"),
        (GATE, dense(1), "mean_squared_error"),
        (FLOWERS, dense(3, "sigmoid"), "binary_crossentropy"),
        (FLOWERS, dense(3), "mean_squared_error"),
        (FLOWERS, dense(3, "softmax", activity_regularizer="l2"), "categorical_crossentropy"),
        (FLOWERS, dense(3, "softmax"), "kl_divergence"),
        (PRICES, dense(2, "softplus"), "poisson"),
        (PRICES, dense(2), "cosine_similarity"),
        (PRICES, dense(2), "huber"),
    ],
)
def test_other_outputs_that_fit(info: DataInfo, output: dict[str, Any], loss: str) -> None:
    assert problems(info, [output], loss) == []


def test_the_output_may_be_followed_by_an_activation_of_its_own() -> None:
    layers = [dense(3), {"type": "activation", "activation": "softmax"}]
    assert problems(FLOWERS, layers, "categorical_crossentropy") == []


# The output and the loss


@pytest.mark.parametrize(
    ("info", "output", "loss", "message"),
    [
        (
            FLOWERS,
            dense(3),
            "categorical_crossentropy",
            'layers[0].activation: categorical_crossentropy needs an output with activation "softmax" or "sigmoid", '
            "the last layer has linear",
        ),
        (
            FLOWERS,
            dense(3, "log_softmax"),
            "categorical_crossentropy",
            'layers[0].activation: categorical_crossentropy needs an output with activation "softmax" or "sigmoid", '
            "the last layer has log_softmax",
        ),
        (
            GATE,
            dense(1, "tanh"),
            "binary_crossentropy",
            "layers[0].activation: binary_crossentropy needs an output with activation "
            '"sigmoid" or "hard_sigmoid" or "softmax", the last layer has tanh',
        ),
        (
            GATE,
            dense(1, "sigmoid"),
            "perceptron",
            'layers[0].activation: perceptron needs an output with activation "step" or "linear", '
            "the last layer has sigmoid",
        ),
        (
            PRICES,
            dense(2),
            "poisson",
            "layers[0].activation: poisson needs an output with activation "
            '"exponential" or "softplus" or "relu", the last layer has linear',
        ),
        (
            PRICES,
            dense(2),
            "binary_crossentropy",
            "training.loss: binary_crossentropy does not fit regression data: "
            'use activation = "linear" with loss = "mean_squared_error"',
        ),
        (
            LABELS,
            dense(4, "softmax"),
            "categorical_crossentropy",
            "training.loss: categorical_crossentropy does not fit multi-label data: "
            'use activation = "sigmoid" with loss = "binary_crossentropy"',
        ),
        (
            PRICES,
            dense(2),
            "hinge",
            "training.loss: hinge does not fit regression data: "
            'use activation = "linear" with loss = "mean_squared_error"',
        ),
        (
            GATE,
            dense(1, "step"),
            "mean_squared_error",
            'training.loss: mean_squared_error learns nothing through a step: use loss = "perceptron"',
        ),
        (
            GATE,
            dense(1, "sigmoid"),
            "categorical_crossentropy",
            "training.loss: categorical_crossentropy needs one unit a class: set units = 2, or use "
            'units = 1, activation = "sigmoid" with loss = "binary_crossentropy"',
        ),
        (
            DataInfo((4,), "regression"),
            dense(1),
            "cosine_similarity",
            "training.loss: cosine_similarity of one unit is always 1 or -1: "
            'use activation = "linear" with loss = "mean_squared_error"',
        ),
        (
            GATE,
            dense(1, "softmax"),
            "categorical_crossentropy",
            "layers[0].activation: softmax over one unit is always 1: "
            'use units = 1, activation = "sigmoid" with loss = "binary_crossentropy"',
        ),
        (
            FLOWERS,
            dense(1, "softmax"),
            "categorical_crossentropy",
            "layers[0].activation: softmax over one unit is always 1: "
            "set units = 3, one for each class (one sigmoid unit is for two classes)",
        ),
        (
            DataInfo((4,), "regression"),
            dense(1, "log_softmax"),
            "mean_squared_error",
            "layers[0].activation: log_softmax over one unit is always 0: "
            'use activation = "linear" with loss = "mean_squared_error"',
        ),
        (
            FLOWERS,
            dense(2, "softmax"),
            "categorical_crossentropy",
            "layers[0].units: the data has 3 classes, the output has 2: set units = 3",
        ),
        (
            FLOWERS,
            dense(10, "softmax"),
            "categorical_crossentropy",
            "layers[0].units: the data has 3 classes, the output has 10: set units = 3",
        ),
        (
            GATE,
            dense(3, "sigmoid"),
            "binary_crossentropy",
            "layers[0].units: two classes need 1 unit (or 2 with softmax), the output has 3: set units = 1",
        ),
        (
            LABELS,
            dense(1, "sigmoid"),
            "binary_crossentropy",
            "layers[0].units: the data has 4 labels, the output has 1: set units = 4",
        ),
        (
            PRICES,
            dense(1),
            "mean_squared_error",
            "layers[0].units: the data has 2 values to predict, the output has 1: set units = 2",
        ),
        (
            DataInfo((4,), "regression"),
            dense(5),
            "mean_squared_error",
            "layers[0].units: the data has 1 value to predict, the output has 5: set units = 1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value and ":" not in value else "",
)
def test_an_output_that_does_not_fit(info: DataInfo, output: dict[str, Any], loss: str, message: str) -> None:
    assert problems(info, [output], loss) == [message]


def test_two_faults_of_one_output_are_both_told() -> None:
    assert problems(FLOWERS, [dense(2)], "categorical_crossentropy") == [
        'layers[0].activation: categorical_crossentropy needs an output with activation "softmax" or "sigmoid", '
        "the last layer has linear",
        "layers[0].units: the data has 3 classes, the output has 2: set units = 3",
    ]


def test_the_place_is_that_of_the_layer_that_decides() -> None:
    softmax = {"type": "activation", "activation": "softmax"}
    assert problems(FLOWERS, [dense(8), dense(2), DROPOUT, softmax], "categorical_crossentropy") == [
        "layers[1].units: the data has 3 classes, the output has 2: set units = 3"
    ]
    relu = {"type": "activation", "activation": "relu"}
    [problem] = problems(FLOWERS, [dense(3, "softmax"), relu], "categorical_crossentropy")
    assert problem.startswith("layers[1].activation: ")
    assert problems(FLOWERS, [dense(3, "softmax"), DROPOUT], "categorical_crossentropy") == [
        'layers[1]: categorical_crossentropy needs an output with activation "softmax" or "sigmoid", '
        "the last layer has none"
    ]
    assert problems(FLOWERS, [dense(2), "flatten"], "mean_squared_error") == [
        "layers[1]: the data has 3 classes, the output has 2: end with a dense layer of units = 3"
    ]
    assert problems(FLOWERS, [DROPOUT], "mean_squared_error") == [
        "layers[0]: the data has 3 classes, the output has 4: end with a dense layer of units = 3"
    ]


def test_an_output_that_is_no_vector() -> None:
    said = "the output has the shape 28 × 28 × 10, one vector is needed: add a flatten layer before the dense layers"
    layers = [dense(8), dense(10, "softmax")]
    assert problems(DIGITS, layers, "categorical_crossentropy", {"flatten": False}) == [f"layers[1]: {said}"]
    assert problems(DIGITS, ["batch_normalization", *layers], "categorical_crossentropy") == [f"layers[2]: {said}"]
    assert problems(DIGITS, ["batch_normalization", "flatten", *layers], "categorical_crossentropy") == []


INFOS = (FLOWERS, GATE, LABELS, PRICES)
UNFIT = [
    (name, info)
    for name, loss in Loss.registry.items()
    for info in INFOS
    if issubclass(loss, Loss) and loss.tasks is not None and info.task not in loss.tasks
]


@pytest.mark.parametrize(("loss", "info"), UNFIT, ids=[f"{name}-{info.task}" for name, info in UNFIT])
def test_the_advice_for_a_loss_that_does_not_fit_does_fit(loss: str, info: DataInfo) -> None:
    [problem] = [said for said in problems(info, [dense(1)], loss) if said.startswith("training.loss")]
    activation, advised = OUTPUT[info.task]
    assert problem.endswith(f'activation = "{activation}" with loss = "{advised}"')
    assert fitting(info) == []


# Metrics


@pytest.mark.parametrize(
    ("info", "metrics", "wrong"),
    [
        (FLOWERS, ["accuracy", "f1", "auc", "perplexity", {"type": "top_k", "k": 2}], []),
        (GATE, ["accuracy", "precision", "recall", "auc"], []),
        (LABELS, ["accuracy", "f1"], []),
        (PRICES, ["mae", "mse", "rmse", "r2"], []),
        (PRICES, ["accuracy"], ["training.metrics[0]: accuracy has no meaning for regression data: take it out"]),
        (FLOWERS, ["accuracy", "mae"], ["training.metrics[1]: mae has no meaning for 3-class data: take it out"]),
        (GATE, ["top_k"], ["training.metrics[0]: top_5 has no meaning for two-class data: take it out"]),
        (LABELS, ["perplexity"], ["training.metrics[0]: perplexity has no meaning for multi-label data: take it out"]),
        (FLOWERS, ["top_k"], ["training.metrics[0]: top_5 of 3 classes is always 1: set k below 3"]),
        (
            FLOWERS,
            [{"type": "top_k", "k": 3}],
            ["training.metrics[0]: top_3 of 3 classes is always 1: set k below 3"],
        ),
        (FLOWERS, ["accuracy", "accuracy"], ["training.metrics[1]: accuracy stands there twice: take one out"]),
        (FLOWERS, ["f1", {"type": "f1", "average": "micro"}], []),
        (
            FLOWERS,
            ["f1", "f1", "f1"],
            [
                "training.metrics[1]: f1 stands there twice: take one out",
                "training.metrics[2]: f1 stands there twice: take one out",
            ],
        ),
    ],
    ids=lambda value: value.task if isinstance(value, DataInfo) else "",
)
def test_metrics(info: DataInfo, metrics: list[Any], wrong: list[str]) -> None:
    assert fitting(info, metrics=metrics) == wrong


# Monitors


@pytest.mark.parametrize("monitor", ["loss", "val_loss", "accuracy", "val_accuracy", "val_micro_f1"])
def test_results_that_can_be_monitored(monitor: str) -> None:
    metrics = ["accuracy", {"type": "f1", "average": "micro"}]
    assert fitting(FLOWERS, metrics=metrics, early_stopping={"monitor": monitor}) == []
    schedule = {"type": "reduce_on_plateau", "monitor": monitor}
    assert fitting(FLOWERS, metrics=metrics, optimizer={"type": "adam", "learning_rate": schedule}) == []


@pytest.mark.parametrize(
    ("monitor", "said"),
    [
        ("accuracy", "no result is named 'accuracy'; known here: f1, loss, val_f1, val_loss"),
        ("val_los", "no result is named 'val_los', did you mean 'val_loss'?"),
        ("F1", "no result is named 'F1', did you mean 'f1'?"),
        ("", "no result is named ''; known here: f1, loss, val_f1, val_loss"),
        ("\x1b[2J", "no result is named '�[2J'; known here: f1, loss, val_f1, val_loss"),
    ],
    ids=ascii,
)
def test_results_that_there_are_not(monitor: str, said: str) -> None:
    training = {
        "metrics": ["f1"],
        "early_stopping": {"monitor": monitor},
        "optimizer": {"type": "adam", "learning_rate": {"type": "reduce_on_plateau", "monitor": monitor}},
    }
    assert fitting(FLOWERS, **training) == [
        f"training.early_stopping.monitor: {said}",
        f"training.optimizer.learning_rate.monitor: {said}",
    ]


def test_validation_results_need_a_validation_part() -> None:
    training = {"early_stopping": {}, "optimizer": {"type": "adam", "learning_rate": "reduce_on_plateau"}}
    said = 'there is no validation part: set data.validation_split, or monitor = "loss"'
    assert fitting(FLOWERS, {"validation_split": 0.0}, **training) == [
        f"training.early_stopping.monitor: {said}",
        f"training.optimizer.learning_rate.monitor: {said}",
    ]
    assert fitting(FLOWERS, {"validation_split": 0.0}, early_stopping={"monitor": "loss"}) == []
    assert fitting(FLOWERS, **training) == []
    own = {"dataset": None, "path": "a.csv", "target": "y", "validation_split": 0.0}
    assert len(fitting(FLOWERS, own, **training)) == 2
    assert fitting(FLOWERS, {**own, "validation_path": "b.csv"}, **training) == []
    assert fitting(FLOWERS, {"dataset": None, "path": "a.npz", "validation_split": 0.0}, **training) == []


# Class weights


@pytest.mark.parametrize(
    ("info", "weights", "wrong"),
    [
        (FLOWERS, {"setosa": 2.0, "virginica": 0}, []),
        (FLOWERS, "balanced", []),
        (GATE, {"0": 1.0, "1": 3}, []),
        (FLOWERS, {"setose": 1.0}, ["the data has no class 'setose', did you mean 'setosa'?"]),
        (FLOWERS, {"0": 1.0}, ["the data has no class '0'; classes: setosa, versicolor, virginica"]),
        (
            FLOWERS,
            {"setosa": 1.0, "\x1b": 1.0, "Virginica": 2.0},
            [
                "the data has no class '�'; classes: setosa, versicolor, virginica",
                "the data has no class 'Virginica', did you mean 'virginica'?",
            ],
        ),
        (LABELS, {"a": 1.0}, ["has no meaning for multi-label data: take it out"]),
        (PRICES, "balanced", ["has no meaning for regression data: take it out"]),
    ],
    ids=lambda value: value.task if isinstance(value, DataInfo) else "",
)
def test_class_weights(info: DataInfo, weights: Any, wrong: list[str]) -> None:
    assert fitting(info, class_weight=weights) == [f"training.class_weight: {said}" for said in wrong]


def test_class_names_from_the_users_data_are_cleaned() -> None:
    info = DataInfo((4,), "categorical", ("\x1bred", "green", "blue"))
    assert fitting(info, class_weight={"red": 1.0, "xxx": 1.0}) == [
        "training.class_weight: the data has no class 'red', did you mean '�red'?",
        "training.class_weight: the data has no class 'xxx'; classes: �red, green, blue",
    ]


def test_only_the_first_of_many_wrong_class_names_are_told() -> None:
    assert len(fitting(FLOWERS, class_weight={f"class {number}": 1.0 for number in range(5000)})) == 10


# Augmentation


def augmented(info: DataInfo, *augmentation: Any, loss: Any = None, **data: Any) -> list[str]:
    """Return what is wrong with augmentations before a network whose output and loss fit the data."""
    activation, usual = OUTPUT[info.task]
    units = {"binary": 1, "regression": info.targets}.get(info.task, len(info.classes))
    output = dense(units, None if loss else activation)
    layers = [{"type": "flatten"}, {key: value for key, value in output.items() if value is not None}]
    return problems(info, layers, loss or usual, {"augmentation": list(augmentation), **data})


def test_augmentations_that_fit() -> None:
    assert augmented(DIGITS, "random_flip", "mixup", {"type": "random_brightness", "factor": 0.1}) == []
    assert augmented(FLOWERS, "mixup", {"type": "rescaling", "scale": 2.0}) == []
    assert augmented(PRICES, "mixup") == []
    assert augmented(LABELS, "mixup") == []


def test_every_augmentation_that_does_not_fit_is_named_at_its_place() -> None:
    crop = {"type": "center_crop", "height": 29, "width": 2}
    said = augmented(DIGITS, crop, "random_flip", {**crop, "height": 2}, {**crop, "height": 3})
    assert said == [
        "data.augmentation[0]: center_crop cannot cut height 29 out of 28 pixels: make it smaller, or add a resizing",
        "data.augmentation[3]: center_crop cannot cut height 3 out of 2 pixels: make it smaller, or add a resizing",
    ]
    (said_of_table,) = augmented(FLOWERS, "random_flip")
    assert said_of_table.startswith("data.augmentation[0]: random_flip needs pictures, and a sample here has the shape")


def test_values_without_bounds_are_not_kept_within_a_range() -> None:
    said = augmented(DIGITS, "random_erasing", normalization="standardize")
    assert len(said) == 1
    assert "random_erasing keeps values within its value_range" in said[0]
    assert 'data.normalization = "rescale"' in said[0]


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_losses_that_take_one_class_refuse_mixed_ones(loss: str) -> None:
    (said,) = augmented(DIGITS, "mixup", loss=loss)
    assert said.startswith(
        f"data.augmentation[0]: mixup asks for a share of two classes, {loss} for one: use activation"
    )
