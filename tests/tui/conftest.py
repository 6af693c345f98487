"""What the tests of the lab share."""

from __future__ import annotations

from tests.cli.conftest import tuilab

__all__ = ["tuilab"]
