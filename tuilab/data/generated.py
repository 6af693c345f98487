"""Generated sets: drawn in float64 from a seed and rounded to float32, so that every machine gets the same bytes."""

from __future__ import annotations

from functools import singledispatch
from typing import TypeAlias

import numpy as np

from tuilab.blocks.arrays import HostArray, host_generator
from tuilab.blocks.datasets import (
    Blobs,
    Circle,
    Dataset,
    GateAnd,
    GateNand,
    GateOr,
    GateXor,
    Gauss,
    GaussRegression,
    Moons,
    Multilabel,
    PassFail,
    Plane,
    Playground,
    Points,
    Spiral,
    Xor,
)

Samples: TypeAlias = tuple[HostArray, HostArray]
"""Features and targets, as in a Split."""


@singledispatch
def generate(dataset: Dataset) -> Samples:
    """Return all samples of a generated set."""
    raise NotImplementedError(dataset.type_name())


@generate.register
def gate_and(_: GateAnd) -> Samples:
    return _truth_table(0, 0, 0, 1)


@generate.register
def gate_or(_: GateOr) -> Samples:
    return _truth_table(0, 1, 1, 1)


@generate.register
def gate_nand(_: GateNand) -> Samples:
    return _truth_table(1, 1, 1, 0)


@generate.register
def gate_xor(_: GateXor) -> Samples:
    return _truth_table(0, 1, 1, 0)


@generate.register
def circle(dataset: Circle) -> Samples:
    generator = _generator(dataset)
    inside = (dataset.samples + 1) // 2
    low = np.where(np.arange(dataset.samples) < inside, 0, 3.5)
    high = np.where(np.arange(dataset.samples) < inside, 2.5, 5)
    radius = low + (high - low) * generator.random(dataset.samples)
    angle = 2 * np.pi * generator.random(dataset.samples)
    points = radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    moved = points + _shift(generator, dataset, 5)
    return _classified(points, np.hypot(moved[:, 0], moved[:, 1]) < 2.5)


@generate.register
def xor(dataset: Xor) -> Samples:
    generator = _generator(dataset)
    points = _uniform(generator, dataset, 5)
    points += np.where(points > 0, 0.3, -0.3)
    moved = points + _shift(generator, dataset, 5)
    return _classified(points, moved[:, 0] * moved[:, 1] >= 0)


@generate.register
def gauss(dataset: Gauss) -> Samples:
    generator = _generator(dataset)
    blue = np.arange(dataset.samples) < (dataset.samples + 1) // 2
    variance = 0.5 + 7 * dataset.noise
    spread = np.sqrt(variance) * generator.standard_normal((dataset.samples, 2))
    return _classified(np.where(blue, 2, -2)[:, None] + spread, blue)


@generate.register
def spiral(dataset: Spiral) -> Samples:
    generator = _generator(dataset)
    half = dataset.samples / 2
    blue = np.arange(dataset.samples) < np.ceil(half)
    position = np.where(blue, np.arange(dataset.samples), np.arange(dataset.samples) - np.ceil(half)) / half
    angle = 1.75 * position * 2 * np.pi + np.where(blue, 0, np.pi)
    points = 5 * position[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return _classified(points + _shift(generator, dataset, 1), blue)


@generate.register
def plane(dataset: Plane) -> Samples:
    generator = _generator(dataset)
    points = _uniform(generator, dataset, 6)
    moved = points + _shift(generator, dataset, 6)
    return _measured(points, moved.sum(axis=1) / 10)


@generate.register
def gauss_regression(dataset: GaussRegression) -> Samples:
    generator = _generator(dataset)
    points = _uniform(generator, dataset, 6)
    moved = points + _shift(generator, dataset, 6)
    centres = np.array([[-4, 2.5], [0, 2.5], [4, 2.5], [-4, -2.5], [0, -2.5], [4, -2.5]])
    signs = np.array([1, -1, 1, -1, 1, -1])
    apart = moved[:, None] - centres
    heights = signs * np.clip(1 - np.hypot(apart[..., 0], apart[..., 1]) / 2, 0, 1)
    highest = np.abs(heights).argmax(axis=1)
    return _measured(points, heights[np.arange(len(points)), highest])


@generate.register
def moons(dataset: Moons) -> Samples:
    generator = _generator(dataset)
    upper = dataset.samples // 2
    t = np.linspace(0, np.pi, upper)
    u = np.linspace(0, np.pi, dataset.samples - upper)
    x, y = np.concatenate([np.cos(t), 1 - np.cos(u)]), np.concatenate([np.sin(t), 0.5 - np.sin(u)])
    points = np.stack([x, y], axis=1) + dataset.noise * generator.standard_normal((dataset.samples, 2))
    return _classified(points, np.arange(dataset.samples) >= upper)


@generate.register
def blobs(dataset: Blobs) -> Samples:
    generator = _generator(dataset)
    centres = 20 * generator.random((dataset.centers, 2)) - 10
    classes = np.arange(dataset.samples) % dataset.centers
    return _classified(centres[classes] + dataset.noise * generator.standard_normal((dataset.samples, 2)), classes)


@generate.register
def pass_fail(dataset: PassFail) -> Samples:
    generator = host_generator(0, dataset.type_name())
    hours = np.round(10 * generator.random(200), 1)
    attendance = np.round(40 + 60 * generator.random(200))
    points = 10 + 5 * hours + 0.4 * attendance + 3 * generator.standard_normal(200)
    return _classified(np.stack([hours, attendance], axis=1), points >= 60)


@generate.register
def multilabel(dataset: Multilabel) -> Samples:
    generator = host_generator(0, dataset.type_name())
    low, high = np.array([-5, 20, 0]), np.array([35, 100, 60])
    weather = np.round(low + (high - low) * generator.random((600, 3)))
    temperature, humidity, wind = (weather + [1, 2, 1.5] * generator.standard_normal((600, 3))).T
    labels = [
        temperature - wind / 5 < 14,
        (humidity > 65) & (wind < 40),
        (humidity < 60) & (temperature > 8),
        (wind > 15) & (wind < 40),
    ]
    return weather.astype(np.float32), np.stack(labels, axis=1).astype(np.float32)


def _truth_table(*outputs: int) -> Samples:
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32), np.array(outputs, dtype=np.int64)


def _generator(dataset: Points) -> np.random.Generator:
    return host_generator(dataset.seed, dataset.type_name())


def _uniform(generator: np.random.Generator, dataset: Playground, radius: float) -> HostArray:
    return radius * (2 * generator.random((dataset.samples, 2)) - 1)


def _shift(generator: np.random.Generator, dataset: Playground, radius: float) -> HostArray:
    """Return how far the Playground moves each point before it looks up its class or value."""
    return dataset.noise * _uniform(generator, dataset, radius)


def _classified(points: HostArray, classes: HostArray) -> Samples:
    return points.astype(np.float32), classes.astype(np.int64)


def _measured(points: HostArray, values: HostArray) -> Samples:
    return points.astype(np.float32), values[:, None].astype(np.float32)
