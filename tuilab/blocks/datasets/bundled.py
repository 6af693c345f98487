"""Real sets that ship inside the package; tuilab/data/files/SOURCES.md says where they come from."""

from __future__ import annotations

from typing import ClassVar

from tuilab.blocks.datasets.dataset import DataInfo, Dataset, Normalization


class Bundled(Dataset, abstract=True):
    """A small real set inside the package."""

    default_normalization: ClassVar[Normalization] = "standardize"


class Iris(Bundled):
    """150 iris flowers of three species, by four lengths in cm (Fisher, 1936). One species stands apart, two touch."""

    def info(self) -> DataInfo:
        return DataInfo(
            (4,),
            "categorical",
            classes=("setosa", "versicolor", "virginica"),
            features=("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        )


class Wine(Bundled):
    """178 Italian wines of three cultivators, by 13 results of chemical analysis (Forina et al., 1991)."""

    def info(self) -> DataInfo:
        return DataInfo(
            (13,),
            "categorical",
            classes=("class_0", "class_1", "class_2"),
            features=(
                *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
                *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
                *("od280/od315_of_diluted_wines", "proline"),
            ),
        )


class BreastCancer(Bundled):
    """569 breast tumours, malignant or benign, by 30 measures of cell nuclei (Street, Wolberg and Mangasarian, 1993).

    Ten measures, each as the mean over the cells of an image, its standard error, and the mean of the worst three.
    """

    def info(self) -> DataInfo:
        measures = (
            *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"),
            *("symmetry", "fractal dimension"),
        )
        names = (
            *(f"mean {measure}" for measure in measures),
            *(f"{measure} error" for measure in measures),
            *(f"worst {measure}" for measure in measures),
        )
        return DataInfo((30,), "binary", classes=("malignant", "benign"), features=names)


class Digits(Bundled):
    """1797 handwritten digits of 8 × 8 pixels from 0 to 16 (Alpaydin and Kaynak, 1998)."""

    default_normalization: ClassVar[Normalization] = "rescale"

    def info(self) -> DataInfo:
        return DataInfo((8, 8, 1), "categorical", classes=tuple("0123456789"), pixel_maximum=16)


class Diabetes(Bundled):
    """442 diabetes patients: how far the disease went within a year, by ten measures at its start (Efron et al., 2004).

    Age, sex, body mass index, blood pressure and six serum values, as they were measured; the target is 25 to 346.
    """

    def info(self) -> DataInfo:
        names = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
        return DataInfo((10,), "regression", features=names)
