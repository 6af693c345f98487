"""The Data screen: what there is to learn from, how it looks, and where it comes from."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import ClassVar, TypeAlias

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.timer import Timer

from tuilab.blocks.datasets import Dataset, Downloaded
from tuilab.errors import TuilabError
from tuilab.experiment.document import DataSettings
from tuilab.tui.data_list import Source, data_of, list_sources, seed_of, sources, use
from tuilab.tui.downloading import Downloading
from tuilab.tui.listing import Cell, Listing
from tuilab.tui.preview import Preview, look_at, sample_count
from tuilab.tui.screens.data_preview import WIDE, DataPreview
from tuilab.tui.screens.frame import LabScreen
from tuilab.tui.session import SECONDS_BETWEEN_FRAMES
from tuilab.tui.widgets.panel import Panel
from tuilab.tui.widgets.table import Table

SECONDS_TO_SETTLE = 0.15
"""The cursor must stay this long before a set is read."""
Wanted: TypeAlias = tuple[str, DataSettings, int, bool]
"""The key of a set, its settings, the seed that splits it, and whether it is here."""
HELP = """\
The data sets: those that come with tuilab, those to download, and first of all a file of your own, if the experiment
on the Build screen has one. u uses a set in that experiment; the sign ● stands before the one it uses.
The split is the one that the experiment asks for. Tab goes to the preview, to scroll there."""


class DataScreen(LabScreen):
    """The list, and beside it the set under the cursor."""

    CSS_PATH = "data.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (64, "-normal"), (WIDE, "-wide"), (150, "-widest")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "use", "use", id="data.use"),
        Binding("d", "download", "download", id="data.download"),
        Binding("escape", "cancel", "cancel download", id="data.cancel"),
        Binding("r", "look_again", "read again", id="data.reload"),
    ]
    help_text = HELP

    @dataclass
    class Looked(Message):
        """A set was read, or could not be."""

        wanted: Wanted
        preview: Preview | None
        problem: str = ""

    @dataclass
    class Counted(Message):
        """The samples of a set were counted."""

        samples: dict[str, int]

    def __init__(self) -> None:
        super().__init__()
        self.sources: dict[str, Source] = {}
        self.samples: dict[str, int] = {}
        self.downloads: dict[str, Downloading] = {}
        self.failures: dict[str, str] = {}
        """Why downloads have failed."""
        self.problem = ""
        """Why the set under the cursor cannot be read."""
        self._listing: Listing | None = None
        self._wanted: Wanted | None = None
        """What is shown, or about to be."""
        self._settling: Timer | None = None
        self._reading = False
        self._shown_keys: dict[str, bool] = {}
        """Which actions have something to act on."""

    def compose_body(self) -> ComposeResult:
        with Horizontal():
            with Panel(id="data-sets"):
                yield Table(id="data-table")
            yield DataPreview(id="data-preview")

    def on_mount(self) -> None:
        self.query_one("#data-sets", Panel).entitle("Data sets")
        self.table.focus()
        self._count(self.session.data_dir)
        self.set_interval(2 * SECONDS_BETWEEN_FRAMES, self._show_downloads)

    @property
    def table(self) -> Table:
        return self.query_one("#data-table", Table)

    @property
    def preview(self) -> DataPreview:
        return self.query_one(DataPreview)

    @property
    def source(self) -> Source | None:
        """The data set under the cursor."""
        return self.sources.get(self.table.key or "")

    def on_screen_resume(self) -> None:
        """The experiment may be another one by now, and files may have come."""
        first = not self.sources
        self._list()
        if first:
            self.table.move_to(next((key for key, source in self.sources.items() if source.chosen), ""))
        self._want()

    def _list(self) -> None:
        draft = self.session.draft
        self.sources = {source.key: source for source in sources(data_of(draft), self.session.data_dir)}
        states = {name: f"{_share(download):.0%}" for name, download in self.downloads.items()}
        self._listing = list_sources(list(self.sources.values()), self.samples, states, self._listing)
        self.table.show(self._listing)
        self.table.show_signs({key: Cell("●", "accent") for key, source in self.sources.items() if source.chosen})
        self.show_subject(draft.name)
        self._show_keys()

    def on_table_moved(self) -> None:
        self._want()

    # Reading, in threads

    def _want(self, again: bool = False) -> None:
        """Show the set under the cursor, and read it once the cursor has come to rest."""
        source = self.source
        if source is None:
            return
        wanted = (source.key, source.settings, seed_of(self.session.draft), source.here)
        if wanted == self._wanted and not again:
            return
        moved = self._wanted is None or self._wanted[0] != source.key
        self._wanted = wanted
        if moved:
            self.problem = ""
            self.preview.announce(source)
        self._show_keys()
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SECONDS_TO_SETTLE, self._read_now)

    def _read_now(self) -> None:
        if self._wanted is None or self._reading:
            return
        if not self._wanted[-1]:
            if self._wanted[0] not in self.downloads:
                self.preview.show_absent(self.failures.get(self._wanted[0], ""))
            return
        self._reading = True
        self.preview.wait_for_it()
        # a thread that ends with the program: nobody who leaves waits for a file to be read
        Thread(target=self._read, args=(self._wanted, self.session.data_dir), daemon=True).start()

    def _read(self, wanted: Wanted, data_dir: Path | None) -> None:
        preview, problem = None, ""
        try:
            preview = look_at(wanted[1], wanted[2], data_dir)
        except (TuilabError, OSError, MemoryError) as error:
            problem = str(error) or "there is not enough memory to read it"
        with suppress(RuntimeError):  # the lab has been left meanwhile
            self.post_message(self.Looked(wanted, preview, problem))

    def on_data_screen_looked(self, event: Looked) -> None:
        self._reading = False
        if event.wanted != self._wanted:
            self._read_now()
            return
        self.problem = event.problem
        if event.preview is None:
            self.preview.show_problem(event.problem)
        else:
            self.preview.show(event.preview)
            count = sum(event.preview.parts.values())
            if self.samples.get(event.wanted[0]) != count:
                self.samples[event.wanted[0]] = count
                self._list()
        self._show_keys()

    @work(thread=True, group="count")
    def _count(self, data_dir: Path | None) -> None:
        sets = {name: Dataset.choose(name) for name in Dataset.offered()}
        found = {name: sample_count(dataset, data_dir) for name, dataset in sets.items()}
        self.post_message(self.Counted({key: count for key, count in found.items() if count is not None}))

    def on_data_screen_counted(self, event: Counted) -> None:
        self.samples |= event.samples
        self._list()

    # What the keys do

    def _allowed(self) -> dict[str, bool]:
        """Return which actions have something to act on."""
        source = self.source
        if source is None:
            return dict.fromkeys(("use", "download", "cancel"), False)
        loading = source.key in self.downloads
        return {
            "use": source.dataset is not None and not source.chosen,
            "download": source.size_to_download > 0 and not loading and bool(self.problem or not source.here),
            "cancel": loading,
        }

    def _show_keys(self) -> None:
        """Show in the footer which keys do something now."""
        allowed = self._allowed()
        if allowed != self._shown_keys:
            self._shown_keys = allowed
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self._shown_keys.get(action) is False:
            return False if action == "cancel" else None
        return True

    def action_use(self) -> None:
        if (source := self.source) is None or source.dataset is None:
            return
        try:
            use(self.session.draft, source.key)
        except TuilabError as error:
            self.lab.say(str(error), "error")
            return
        self.lab.say(f"{self.session.draft.name} learns from {source.title} now; 1 shows whether its layers fit")
        self._list()
        self._want()

    def action_look_again(self) -> None:
        self._list()
        self._want(again=True)

    def action_download(self) -> None:
        source = self.source
        if source is not None and isinstance(source.dataset, Downloaded) and source.key not in self.downloads:
            self.downloads[source.key] = Downloading(source.dataset, self.session.data_dir)
            self._show_downloads()

    def action_cancel(self) -> None:
        if (source := self.source) is not None and source.key in self.downloads:
            self.downloads.pop(source.key).cancel()
            self.preview.show_download(0, 0)
            self.lab.say(f"the download of {source.title} is cancelled; what has arrived is kept for the next time")
            self._list()

    def _show_downloads(self) -> None:
        """Look how far the downloads are; those that are over are told."""
        if not self.downloads:
            return
        for name, download in list(self.downloads.items()):
            if download.over:
                del self.downloads[name]
                self.failures[name] = download.problem
                said = f"{name} could not be downloaded" if download.problem else f"{name} is here"
                self.lab.say(said, "error" if download.problem else "information")
                self._count(self.session.data_dir)
        self._list()
        source = self.source
        loading = self.downloads.get(source.key) if source is not None else None
        self.preview.show_download(loading.done if loading else 0, loading.size if loading else 0)
        self._want(again=not self.downloads)


def _share(download: Downloading) -> float:
    return download.done / download.size
