"""Pictures of the lab, which change only when somebody wants them to.

A picture that was changed on purpose: `pytest tests/tui/test_snapshots.py --snapshot-update`, and look at it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui.sights import OTHERS, SCREENS, make_lab, runs, stands_still

__all__ = ["runs", "stands_still"]

SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
THEMES = {"dark": "lab-dark", "light": "lab-light"}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", SCREENS)
def test_screen(snap_compare: Callable[..., bool], runs: Path, screen: str, size: str, theme: str) -> None:
    lab = make_lab(runs, THEMES[theme])
    assert snap_compare(lab, terminal_size=SIZES[size], run_before=SCREENS[screen])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("other", OTHERS)
def test_dialogs_and_other_states(snap_compare: Callable[..., bool], runs: Path, other: str, size: str) -> None:
    lab = make_lab(runs, "lab-dark")
    assert snap_compare(lab, terminal_size=SIZES[size], run_before=OTHERS[other])
