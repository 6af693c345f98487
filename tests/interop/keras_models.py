"""Keras in a process of its own: makes models and predicts with them, as lines of JSON on stdin ask it to.

{"make": name, "folder": …} builds a model, writes it as NAME.keras, NAME.weights.h5 and NAME.h5, and samples with its
predictions as NAME.npz; {"predict": file, "samples": file.npy, "into": file.npy} loads a model and predicts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import layers

VGG_BLOCKS = ((2, 4), (2, 8), (3, 16), (3, 16), (3, 16))


def dense() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(5, "tanh"), layers.Dense(3, "softmax")], name="dense"
    )


def regression() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), layers.Dense(6, "gelu"), layers.Dense(2)], name="regression")


def one_unit() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), layers.Dense(1, "sigmoid")], name="one_unit")


def unbuilt_input() -> keras.Model:
    model = keras.Sequential([layers.Dense(4, "relu"), layers.Dense(2, "softmax")], name="unbuilt_input")
    model.build((None, 6))
    return model


def images() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            layers.RandomFlip(),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(6, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D((2, 2), strides=(2, 2)),
            layers.Conv2D(8, (3, 2), strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(scale=False),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(7, activation=layers.LeakyReLU(negative_slope=0.1)),
            layers.Dense(5, "softmax"),
        ],
        name="images",
    )


def every() -> keras.Model:
    """Every other layer that both have."""
    return keras.Sequential(
        [
            keras.Input((12, 13, 4)),
            layers.ZeroPadding2D(((1, 2), (0, 1))),
            layers.Conv2D(8, 3, dilation_rate=2, groups=2),
            layers.LeakyReLU(negative_slope=0.15),
            layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
            layers.ELU(alpha=0.7),
            layers.SeparableConv2D(6, 3, depth_multiplier=2, activation="silu"),
            layers.SpatialDropout2D(0.1),
            layers.GroupNormalization(groups=3),
            layers.Conv2DTranspose(5, 3, strides=2, padding="same"),
            layers.PReLU(shared_axes=[1, 2]),
            layers.AveragePooling2D(3, strides=2),
            layers.UpSampling2D((2, 1), interpolation="bilinear"),
            layers.Cropping2D(((1, 1), (0, 1))),
            layers.LayerNormalization(),
            layers.GaussianNoise(0.1),
            layers.ReLU(max_value=6),
            layers.Reshape((-1, 5)),
            layers.Conv1D(6, 3, padding="causal", activation="selu"),
            layers.MaxPooling1D(2),
            layers.AveragePooling1D(2, strides=1, padding="same"),
            layers.SpatialDropout1D(0.2),
            layers.GlobalMaxPooling1D(),
            layers.Activation("softplus"),
            layers.Dense(4),
            layers.Softmax(),
        ],
        name="every",
    )


def chain() -> keras.Model:
    """A functional model whose layers were made in another order than they are used in."""
    given = keras.Input((8, 8, 1), name="pixels")
    last, second, first = layers.Dense(3, "softmax"), layers.Dense(6, "relu"), layers.Dense(6, "relu")
    x = layers.Conv2D(4, 3, activation="relu", name="look")(given)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, last(second(first(x))), name="chain")


def vgg() -> keras.Model:
    """VGG16 as keras.applications builds it, with few filters on small images."""
    given = x = keras.Input((32, 32, 3))
    for block, (depth, filters) in enumerate(VGG_BLOCKS, start=1):
        for index in range(1, depth + 1):
            name = f"block{block}_conv{index}"
            x = layers.Conv2D(filters, (3, 3), activation="relu", padding="same", name=name)(x)
        x = layers.MaxPooling2D((2, 2), strides=(2, 2), name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(32, activation="relu", name="fc1")(x)
    x = layers.Dense(32, activation="relu", name="fc2")(x)
    return keras.Model(given, layers.Dense(10, activation="softmax", name="predictions")(x), name="vgg")


def nested() -> keras.Model:
    """A model in a model, as in transfer learning."""
    base = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="look"), layers.BatchNormalization(name="even")], name="base"
    )
    top = [layers.Flatten(), layers.Dense(6, "relu"), layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 3)), base, layers.Conv2D(4, 2), *top], name="nested")


def branched() -> keras.Model:
    given = keras.Input((4,))
    x = layers.Dense(4)(given)
    return keras.Model(given, layers.Dense(2)(layers.Add()([x, given])), name="branched")


def with_lambda() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * 2), layers.Dense(2)], name="with_lambda")


def recurrent() -> keras.Model:
    return keras.Sequential([keras.Input((4, 2)), layers.LSTM(3), layers.Dense(2)], name="recurrent")


def open_size() -> keras.Model:
    return keras.Sequential(
        [keras.Input((None, None, 1)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Dense(10, "softmax")],
        name="open_size",
    )


def vgg16() -> keras.Model:
    return keras.applications.VGG16(weights=None)


MODELS: dict[str, Callable[[], keras.Model]] = {
    build.__name__: build
    for build in (
        *(dense, regression, one_unit, unbuilt_input, images, every, chain, vgg, nested, branched, with_lambda),
        *(recurrent, open_size, vgg16),
    )
}


def make(name: str, folder: Path) -> None:
    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    random = np.random.default_rng(2)
    # zeros and ones, as biases and statistics begin, would hide a mistake in their order
    model.set_weights(
        [
            random.uniform(0.5, 1.5, w.shape)
            if w.ndim < 2 and "vari" in v.path
            else w + 0.1 * random.normal(size=w.shape)
            for w, v in zip(model.get_weights(), model.weights, strict=True)
        ]
        if name != "vgg16"
        else model.get_weights()
    )
    shape = [28 if size is None else size for size in model.input_shape[1:]]
    count = 2 if name == "vgg16" else 5
    pixels = name in ("images", "vgg16")
    samples = random.uniform(0, 255, (count, *shape)) if pixels else random.normal(size=(count, *shape))
    samples = samples.astype("float32")
    model.save(folder / f"{name}.keras")
    model.save_weights(folder / f"{name}.weights.h5")
    model.save(folder / f"{name}.h5")
    np.savez(folder / f"{name}.npz", x=samples, y=model.predict(samples, verbose=0))


def predict(file: str, samples: str, into: str) -> None:
    np.save(into, keras.models.load_model(file).predict(np.load(samples), verbose=0))


for line in sys.stdin:
    request = json.loads(line)
    if "make" in request:
        make(request["make"], Path(request["folder"]))
    else:
        predict(request["predict"], request["samples"], request["into"])
    print("done", flush=True)
