"""A GPU as a device: CuPy loaded, the right one for the driver, and a first kernel seen to run."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

from tuilab.blocks.arrays import Ops
from tuilab.engine.driver import Card, Driver, version
from tuilab.engine.failures import DRIVER_TOO_OLD, device_failure
from tuilab.errors import DeviceError, DeviceFailure
from tuilab.text import clean_text

EXTRAS = {12: "cuda12", 13: "cuda13"}
"""Our extra for each CUDA, the newest last."""
CUPY_PACKAGES = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
"""They all hold the one module `cupy`, and only one of them may be installed."""
CUDNN_PACKAGES = ("nvidia-cudnn-frontend", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
STEPS_BETWEEN_READS = 20
"""Reading a result waits for the GPU to finish everything before it."""


def installation(driver: Driver) -> str:
    """Return what installs a CuPy that this driver can run."""
    fitting = [extra for cuda, extra in EXTRAS.items() if cuda <= driver.cuda // 1000]
    if fitting:
        return f"pip install 'tuilab[{fitting[-1]}]'"
    oldest = next(iter(EXTRAS))
    return f"the driver runs CUDA {driver.cuda_version}: update it to one for CUDA {oldest} or newer"


def missing(driver: Driver) -> str:
    """Return why no GPU can be used here, and what to install, as far as that shows without loading CuPy; empty where
    nothing seems to be missing."""
    if not driver.cards:
        return driver.trouble
    if find_spec("cupy") is None:
        return f"CuPy is not installed: {installation(driver)}"
    packages = installed_packages()
    if len(packages) > 1:
        remove = f"pip uninstall -y {' '.join(packages)}"
        return f"several CuPy packages are installed, which overwrite each other: {remove}, then {installation(driver)}"
    return ""


def installed_packages() -> list[str]:
    """Return every installed package that holds CuPy."""
    found = []
    for name in CUPY_PACKAGES:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def card_of(driver: Driver, number: int) -> Card:
    """Return a GPU by its number; raises DeviceError, with how many there are, where it is not there."""
    if lacking := missing(driver):
        raise DeviceError(lacking)
    count = len(driver.cards)
    if number >= count:
        known = "gpu alone" if count == 1 else f"gpu:0 to gpu:{count - 1}"
        raise DeviceError(f"there {'is 1 GPU' if count == 1 else f'are {count} GPUs'}, {known}")
    return driver.cards[number]


def gpu_kernels(driver: Driver, card: Card) -> Ops:
    """Return the operations of a GPU, once they have been seen to work; raises DeviceError, with the remedy, where they
    do not."""
    try:
        import cupy

        needed = cupy.cuda.runtime.runtimeGetVersion()
        if needed // 1000 > driver.cuda // 1000:
            raise DeviceFailure(_too_old(driver, needed))
        from tuilab.engine.kernels.cupy import CupyKernels

        kernels = CupyKernels(card.number)
        _try_out(kernels)
    except DeviceError:
        raise
    except Exception as error:
        failure = device_failure(error) or _unusable(error, driver)
        if failure is None:
            raise
        raise failure from error
    return kernels


def convolutions() -> str:
    """Return what does the convolutions on a GPU that works: cuDNN, or our own kernels, and what would bring cuDNN."""
    import cupy

    from tuilab.engine.kernels import cudnn

    try:
        found = cudnn.load(cupy.cuda.runtime.runtimeGetVersion() // 1000)
    except cudnn.CudnnMissingError as error:
        return f"convolutions without cuDNN ({error} brings it)"
    except cudnn.CudnnError as error:
        return f"convolutions without cuDNN: {error}"
    return f"convolutions by cuDNN {cudnn.version(found)}"


def _unusable(error: Exception, driver: Driver) -> DeviceError | None:
    """Return what keeps CuPy from working at all, None where that is a defect of ours."""
    said = clean_text(" ".join(str(error).split()), 300)
    if isinstance(error, ImportError) or type(error).__name__ == "DynamicLibNotFoundError":
        # CuPy itself, or a library of CUDA, which is loaded when it is first needed
        return DeviceError(f"CuPy is not whole, {installation(driver)} brings its libraries: {said}")
    return DeviceError(f"CuPy does not work: {said}") if isinstance(error, (RuntimeError, OSError)) else None


def _too_old(driver: Driver, needed: int) -> str:
    instead = f", or take the other CuPy: {installation(driver)}" if driver.cuda // 1000 in EXTRAS else ""
    versions = f"the driver runs CUDA {driver.cuda_version}, CuPy is made for CUDA {version(needed)}"
    return f"{DRIVER_TOO_OLD}{instead} ({versions})"


def _try_out(ops: Ops) -> None:
    """Run kernels of CuPy's own and of cuBLAS; raises DeviceError where they give other numbers than they must."""
    x = ops.xp.arange(4, dtype="float32").reshape(2, 2)
    found = ops.to_host(ops.xp.matmul(x, x) + 1).tolist()
    if found != [[3, 4], [7, 12]]:
        raise DeviceError(f"it multiplies wrongly: {found} for [[3, 4], [7, 12]]")
