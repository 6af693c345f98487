"""Measures tuilab beside its peers: `python -m benchmarks [dense|cnn|tiny|startup|scaling|ui|all]`, and
`gpu --report FILE`.

Every benchmark runs in a process of its own and prints a table. What has become slower than its last recorded ratio by
more than 10 % is named at the end, and the exit code is 1; `--record` makes today's ratios the recorded ones. `--short`
only looks whether all that is compared learns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COMPARED = ("dense", "cnn", "tiny", "startup")
"""Benchmarks that give rows to compare; the others print a table of their own."""
OTHERS = {"scaling": "scaling", "ui": "lab"}
GPU = "gpu"
"""Needs a device, so that `all` leaves it out; it has options of its own."""
RECORDED = Path(__file__).with_name("recorded.json")
"""The ratios of the machine that the tables of docs/performance.md come from."""
SLOWER = 0.9


def main() -> int:
    """Run benchmarks; return the exit code."""
    if sys.argv[1:2] == [GPU]:
        return subprocess.run([sys.executable, "-m", "benchmarks.gpu", *sys.argv[2:]]).returncode
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", default=["all"], choices=[*COMPARED, *OTHERS, "all"], help="what to measure"
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of all")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--short", action="store_true", help="one round, to see that everything learns")
    parser.add_argument("--record", action="store_true", help="record these ratios for later comparisons")
    chosen = parser.parse_args()
    names = [*COMPARED, *OTHERS] if "all" in chosen.names else chosen.names
    if chosen.short:
        names = [name for name in names if name in COMPARED]
    rows = {name: _run(name, chosen.threads, chosen.short) for name in names}
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    now = {row["name"]: row["ratio"] for found in rows.values() for row in found if row.get("ratio")}
    before = json.loads(RECORDED.read_text()) if RECORDED.exists() and not chosen.short else {}
    slower = [name for name, ratio in now.items() if name in before and ratio < SLOWER * before[name]]
    for name in slower:
        print(f"slower: {name}: ratio {now[name]:.2f}, recorded {before[name]:.2f}")
    if chosen.record:
        ratios = {name: round(ratio, 3) for name, ratio in (before | now).items()}
        RECORDED.write_text(json.dumps(ratios, indent=1, ensure_ascii=False) + "\n")
    return 1 if slower else 0


def _run(name: str, threads: int, short: bool) -> list[dict[str, Any]]:
    """Run one benchmark; return its rows, where it gives any."""
    print(f"\n## {name}\n", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{OTHERS.get(name, name)}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        if name in COMPARED:
            command += ["--threads", str(threads), "--json", str(path), *(["--short"] if short else [])]
        subprocess.run(command, check=True)
        rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
        return rows


if __name__ == "__main__":
    sys.exit(main())
