"""Blocks: what a user can choose, one class each: settings, documentation and maths."""
