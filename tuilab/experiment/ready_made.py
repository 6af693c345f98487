"""The ready-made experiments: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from tuilab.errors import UsageError
from tuilab.text import clean_text, did_you_mean


def models_folder() -> Path:
    """Return the folder that holds the ready-made experiments."""
    package = Path(__file__).parents[1]
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def ready_made() -> dict[str, Path]:
    """Return name → file of every ready-made experiment, sorted by name."""
    return {path.stem: path for path in sorted(models_folder().glob("*.toml"), key=lambda path: path.stem)}


def ready_made_path(name: str) -> Path:
    """Return the file of one ready-made experiment; raises UsageError with the closest name where there is none."""
    known = ready_made()
    if name not in known:
        hint = did_you_mean(name, known) or "; 'tuilab models' lists them, a file of your own ends in .toml"
        raise UsageError(f"no experiment named '{clean_text(name, 60)}'{hint}")
    return known[name]
