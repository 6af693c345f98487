"""Python looks for garbage when it pleases, and a key waits meanwhile: here it is looked for while nobody types.

A picture makes thousands of objects and throws most of them away by itself. With Python's own numbers a look at
everything, for up to 90 ms, met every seventh key.
"""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 50, 100)
"""After how many new objects Python itself looks among them, and after how many of these looks among older ones."""
SOME, MANY_LOOKS = 2000, 20
"""New objects among which to look, and looks of this kind after which to look among all objects."""
SECONDS_AT_REST = 5.0
"""Without a key, before that longer look."""


def look_seldom() -> None:
    """Turn Python's own looks on, where they are off; what is there now stays, and is not looked through again."""
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.enable()


def look(quiet: float) -> None:
    """Look for garbage if there may be some; nobody has pressed a key for so many seconds."""
    young, _, looks = gc.get_count()
    if not gc.isenabled():
        return
    if looks > MANY_LOOKS and quiet > SECONDS_AT_REST:
        gc.collect()
    elif young > SOME:
        gc.collect(1)
