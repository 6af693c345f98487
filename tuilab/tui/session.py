"""What the screens of the lab share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuilab.experiment.draft import Draft
    from tuilab.runs.directory import RunDirectory
    from tuilab.runs.launch import Launched


@dataclass
class Session:
    """The experiment on the Build screen, the run on the Train screen, and where runs and data lie."""

    draft: Draft
    runs: Path
    data_dir: Path | None = None
    run: RunDirectory | None = None
    launched: list[Launched] = field(default_factory=list)
    """Workers that this lab has started; they are its children, and are reaped here."""

    def start(self) -> RunDirectory:
        """Start the training of the experiment on the Build screen as a new run, and make it the one that is watched.

        Raises ExperimentError with everything that keeps it from being trained, StorageError.
        """
        from tuilab.runs.directory import create_run
        from tuilab.runs.launch import launch

        experiment = self.draft.checked()
        run = create_run(self.runs, experiment.name, self.draft.full_text())
        self.launched.append(launch(run, data_dir=self.data_dir))
        self.run = run
        return run

    def go_on(self, run: RunDirectory, *overrides: str) -> Launched:
        """Start the worker of a run that is not being trained, from its last checkpoint."""
        from tuilab.runs.launch import launch

        launched = launch(run, overrides, self.data_dir)
        self.launched.append(launched)
        self.run = run
        return launched

    def reap(self) -> None:
        """Take notice of workers that have ended, so that none is left as a zombie."""
        self.launched = [one for one in self.launched if one.process.poll() is None]


SLOW_LINK = bool(os.environ.get("SSH_CONNECTION"))
SECONDS_BETWEEN_FRAMES = 0.25 if SLOW_LINK else 0.1
