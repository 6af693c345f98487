"""Runs full_disk.py where it may mount file systems, which are gone with it: in a name space of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_full_disk(tmp_path: Path) -> None:
    own_mounts = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "--basetemp", str(tmp_path / "inside")]
    tests = str(Path(__file__).with_name("full_disk.py"))
    done = subprocess.run([*own_mounts, *pytest, tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
