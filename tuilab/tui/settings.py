"""What the lab remembers between two sessions: the theme, and keys of one's own, in the user's configuration folder."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 1024
MOST_KEYS = 200

EXPLANATION = """\
# Settings of the lab. Keys: the name of an action, as the help (?) shows it, and the keys that it shall have.
"""


@dataclass(frozen=True)
class Settings:
    """The file settings.toml."""

    theme: str = "lab-dark"
    keys: dict[str, str] = field(default_factory=dict)
    """By the id of a binding: its keys, with commas between."""

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Settings:
        """Return what a file says; raises ValueError where that is not what it should be."""
        theme, keys = document.get("theme", cls.theme), document.get("keys", {})
        if not isinstance(theme, str) or not isinstance(keys, dict) or len(keys) > MOST_KEYS:
            raise ValueError("it does not hold settings")
        if not all(isinstance(key, str) for key in keys.values()):
            raise ValueError('a key is given as a text, such as "ctrl+n"')
        return cls(theme, keys)


def settings_file() -> Path:
    """Return the settings file: in TUILAB_CONFIG, else in the user's configuration folder."""
    from platformdirs import user_config_path

    folder = os.environ.get("TUILAB_CONFIG")
    return (Path(folder) if folder else user_config_path("tuilab")) / "settings.toml"


def load_settings() -> tuple[Settings, str]:
    """Return the settings, the defaults where there are none, and what is wrong with the file, if anything."""
    import tomllib

    path = settings_file()
    try:
        if path.stat().st_size > MOST_BYTES:
            return Settings(), f"{path} is too large for settings, so the defaults are used"
        return Settings.from_document(tomllib.loads(path.read_text(encoding="utf-8"))), ""
    except FileNotFoundError:
        return Settings(), ""
    except (OSError, ValueError, RecursionError) as error:
        return Settings(), f"{path} cannot be used ({error}), so the defaults are"


def save_settings(settings: Settings) -> str:
    """Write the settings, and return why that cannot be, if it cannot. Keeps the user's comments."""
    import tomlkit

    path = settings_file()
    partial = path.with_name(f".{path.name}.part")
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else EXPLANATION)
        document["theme"] = settings.theme
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(tomlkit.dumps(document), encoding="utf-8")
        partial.replace(path)
    except (OSError, ValueError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else error
        return f"{path} cannot be written: {reason}"
    return ""
