"""tuilab: a training lab in the terminal. For notebooks: `tuilab.load` and `tuilab.train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuilab.api import EpochDone, LayersSeen, StepsDone, Trained, load, train

__all__ = ["EpochDone", "LayersSeen", "StepsDone", "Trained", "load", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the engine when it is first asked for: commands that do not train start without it."""
    if name in __all__:
        from tuilab import api

        return getattr(api, name)
    raise AttributeError(f"module 'tuilab' has no attribute '{name}'")
