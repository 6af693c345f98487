"""Sets that are made: truth tables, and points drawn anew from a seed."""

from __future__ import annotations

from pydantic import Field

from tuilab.blocks.datasets.dataset import DataInfo, Dataset

# Logic gates: the four points of a truth table. All four are for training: there are no others to test on.


class Gate(Dataset, abstract=True):
    """A truth table of two inputs."""

    splittable = False

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("0", "1"), features=("a", "b"))


class GateAnd(Gate):
    """Logical and: 1 where both inputs are 1. A line separates the classes, so one neuron can learn it.

    (0, 0) → 0, (0, 1) → 0, (1, 0) → 0, (1, 1) → 1
    """


class GateOr(Gate):
    """Logical or: 1 where at least one input is 1. A line separates the classes, so one neuron can learn it.

    (0, 0) → 0, (0, 1) → 1, (1, 0) → 1, (1, 1) → 1
    """


class GateNand(Gate):
    """Logical nand: 0 only where both inputs are 1. A line separates the classes; every other gate is made of nands.

    (0, 0) → 1, (0, 1) → 1, (1, 0) → 1, (1, 1) → 0
    """


class GateXor(Gate):
    """Exclusive or: 1 where the inputs differ. No line separates the classes: a hidden layer is needed
    (Minsky and Papert, 1969).

    (0, 0) → 0, (0, 1) → 1, (1, 0) → 1, (1, 1) → 0
    """


# Points in the plane, drawn anew from a seed.


class Points(Dataset, abstract=True):
    """Points in the plane."""

    samples: int = Field(500, ge=10, le=1_000_000, description="Points in all.")
    seed: int = Field(0, ge=0, lt=2**63, description="Another seed draws other points.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("orange", "blue"), features=("x", "y"))


class Playground(Points, abstract=True):
    """A set of TensorFlow Playground (Smilkov and Carter, 2016; playground.tensorflow.org), by its formulas."""

    noise: float = Field(0.0, ge=0, le=0.5, description="0 to 0.5; the Playground shows it as 0 to 50.")


class Circle(Playground):
    """A disc of one class inside a ring of the other.

    blue: radius U(0, 2.5); orange: radius U(3.5, 5); the label is then taken at a point moved by U(−5, 5) · noise.
    """


class Xor(Playground):
    """Four squares, of one class where x and y have the same sign; the truth table of xor with many points.

    x, y ~ U(−5, 5), moved 0.3 away from the axes; blue where (x + nx) · (y + ny) ≥ 0, with n ~ U(−5, 5) · noise
    """


class Gauss(Playground):
    """Two clouds, one around (2, 2), the other around (−2, −2): a line separates them while noise is low.

    x ~ N(±2, variance), y likewise, variance = 0.5 + 7 · noise
    """


class Spiral(Playground):
    """Two arms wound round each other, 1¾ turns: the hardest of the Playground.

    r = 5 · i / n, t = 2π · 1.75 · i / n (+ π for orange), (x, y) = r · (sin t, cos t) + U(−1, 1) · noise
    """


class Plane(Playground):
    """Regression of a slope: the value grows along the diagonal. One linear unit is enough.

    x, y ~ U(−6, 6), value = (x + nx + y + ny) / 10, n ~ U(−6, 6) · noise
    """

    samples: int = Field(1200, ge=10, le=1_000_000, description="Points in all.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "regression", features=("x", "y"))


class GaussRegression(Playground):
    """Regression of three hills and three hollows, in two rows of alternating sign.

    x, y ~ U(−6, 6), value = ± max(0, 1 − d / 2), d the distance of (x + nx, y + ny) to the nearest centre
    """

    samples: int = Field(1200, ge=10, le=1_000_000, description="Points in all.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "regression", features=("x", "y"))


class Moons(Points):
    """Two half moons, each reaching into the other's bow; as scikit-learn's make_moons.

    upper: (cos t, sin t), lower: (1 − cos t, ½ − sin t), t from 0 to π; both + N(0, noise)
    """

    default_normalization = "standardize"
    noise: float = Field(0.1, ge=0, le=2, description="Deviation of the points from the bows.")

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("upper", "lower"), features=("x", "y"))


class Blobs(Points):
    """Round clouds, one a class, around centres drawn from U(−10, 10); as scikit-learn's make_blobs.

    x ~ N(centre, noise)
    """

    default_normalization = "standardize"
    centers: int = Field(3, ge=2, le=10, description="Clouds, and so classes.")
    noise: float = Field(1.0, ge=0, le=10, description="Deviation of the points from their centre.")

    def info(self) -> DataInfo:
        names = tuple(f"blob {number}" for number in range(1, self.centers + 1))
        return DataInfo((2,), "binary" if self.centers == 2 else "categorical", classes=names, features=("x", "y"))


# Invented tables, the same for everybody.


class PassFail(Dataset):
    """200 invented students: passed or failed, by the hours they studied and their attendance.

    points = 10 + 5 · hours + 0.4 · attendance + N(0, 3), passed from 60 of 100
    hours ~ U(0, 10), attendance ~ U(40, 100) %
    """

    default_normalization = "standardize"

    def info(self) -> DataInfo:
        return DataInfo((2,), "binary", classes=("fail", "pass"), features=("hours studied", "attendance (%)"))


class Multilabel(Dataset):
    """600 invented days: what to take along, any number of four things, by the weather.

    jacket: temperature − wind / 5 < 14;  umbrella: humidity > 65 and wind < 40;
    sunglasses: humidity < 60 and temperature > 8;  kite: 15 < wind < 40
    Rules see the weather with an error of N(0, 1) °C, N(0, 2) %, N(0, 1.5) km/h.
    """

    default_normalization = "standardize"

    def info(self) -> DataInfo:
        return DataInfo(
            (3,),
            "multi_label",
            classes=("jacket", "umbrella", "sunglasses", "kite"),
            features=("temperature (°C)", "humidity (%)", "wind (km/h)"),
        )
