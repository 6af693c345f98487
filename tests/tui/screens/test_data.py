"""The Data screen over the real sets, files of one's own, damaged ones, and downloads from a true server."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from tests.data.idx_files import write_set
from tests.tui.screens.trained import on_screen, opened, text_of, until
from tuilab.blocks.datasets import Dataset, FashionMnist, Mnist, RemoteFile
from tuilab.experiment.draft import Draft
from tuilab.tui.app import Lab
from tuilab.tui.screens.data import DataScreen
from tuilab.tui.screens.data_images import ImageGrid
from tuilab.tui.widgets.bar import Bars
from tuilab.tui.widgets.histogram import Histogram
from tuilab.tui.widgets.scatter import Scatter
from tuilab.tui.widgets.table import Table

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUILAB_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("TUILAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TUILAB_DATA", str(tmp_path / "data"))


def screen_of(lab: Lab) -> DataScreen:
    assert isinstance(lab.screen, DataScreen)
    return lab.screen


async def at(lab: Lab, pilot: Pilot[str], key: str) -> None:
    """Put the cursor on a set."""
    screen = screen_of(lab)
    screen.table.move_to(key)
    await until(pilot, lambda: screen.preview.source and screen.preview.source.key == key)


async def test_every_set_is_listed_with_its_size(tmp_path: Path) -> None:
    async with opened(tmp_path, "data", (120, 40)) as (_, pilot):
        await until(pilot, on_screen(pilot, *Dataset.offered(), "1,797", "regression", "to download"))
        assert text_of(pilot).count("to download") == 3


async def test_the_set_of_the_experiment_is_shown_first(tmp_path: Path) -> None:
    async with opened(tmp_path, "data", (80, 24), model="digits-mlp") as (lab, pilot):
        await until(pilot, on_screen(pilot, "● digits", "1,797 samples · 8 × 8 × 1 · 10 classes"))
        await until(pilot, on_screen(pilot, "train 1,294  validation 144  test 359"))
        grid = lab.screen.query_one(ImageGrid)
        assert [label for _, label in grid.images[:10]] == list("0123456789")
        left, right = lab.screen.query(Bars)
        assert [amount[0] for amount in (*left.amounts, *right.amounts)] == list("0123456789")
        assert left.amounts[0][2] == "178"


async def test_points_in_the_plane_are_scattered_by_class(tmp_path: Path) -> None:
    async with opened(tmp_path, "data") as (lab, pilot):
        await at(lab, pilot, "blobs")
        await until(pilot, on_screen(pilot, "500 samples · 2 features · 3 classes", "○ blob 2"))
        x, y, kinds, names, *_ = lab.screen.query_one(Scatter).shown
        assert len(x) == len(y) == len(kinds) == 360
        assert names == ("blob 1", "blob 2", "blob 3")
        assert not lab.screen.query_one(ImageGrid).display


async def test_tables_are_rows_with_statistics_of_their_columns(tmp_path: Path) -> None:
    async with opened(tmp_path, "data", (120, 40)) as (lab, pilot):
        await at(lab, pilot, "iris")
        await until(pilot, on_screen(pilot, "setosa", "sepal", "distinct", "5.843", "7.9"))
        rows = lab.screen.query_one("#preview-rows", Table).listing
        assert [line.cells[0].text for line in rows.lines[:4]] == ["setosa", "versicolor", "virginica", "setosa"]
        statistics = lab.screen.query_one("#preview-statistics", Table).listing
        texts = [[cell.text for cell in line.cells] for line in statistics.lines]
        assert texts[0] == ["sepal length (cm)", "4.3", "5.843", "7.9", "35"]  # Fisher's own table


async def test_numbers_to_predict_are_a_histogram(tmp_path: Path) -> None:
    async with opened(tmp_path, "data", (120, 40)) as (lab, pilot):
        await at(lab, pilot, "diabetes")
        histogram = lab.screen.query_one(Histogram)
        await until(pilot, lambda: histogram.display and histogram.counts.sum() == 442)
        assert (histogram.edges[0], histogram.edges[-1]) == (25, 346)


async def test_u_uses_a_set_in_the_experiment(tmp_path: Path) -> None:
    async with opened(tmp_path, "data") as (lab, pilot):
        await at(lab, pilot, "wine")
        await pilot.press("u")
        await until(pilot, on_screen(pilot, "● wine", "iris-8-8-3 learns from wine now"))
        assert lab.session.draft.document["data"]["dataset"] == "wine"
        lab.session.draft.undo()
        assert lab.session.draft.document["data"]["dataset"] == "iris"


async def test_the_split_is_the_experiments(tmp_path: Path) -> None:
    async with opened(tmp_path, "data") as (lab, pilot):
        await at(lab, pilot, "wine")
        await until(pilot, on_screen(pilot, "train 128  validation 14  test 36"))
        lab.session.draft.set("data.test_split", 0.5)
        await pilot.press("1", "4")
        await until(pilot, on_screen(pilot, "train 80  validation 9  test 89"))
        lab.session.draft.set("data.test_split", 0.99)
        await pilot.press("1", "4")
        await until(pilot, on_screen(pilot, "not split", "leaves too few samples"))


def own_draft(tmp_path: Path, **data: object) -> Draft:
    """A draft in a file of its own, which learns from `data`."""
    path = tmp_path / "own.toml"
    shutil.copy(Draft.open("iris-8-8-3").path or Path("models/iris-8-8-3.toml"), path)
    draft = Draft.open(path)
    draft.set("data", data)
    draft.save()
    return Draft.open(path)


async def test_ones_own_table_is_the_first(tmp_path: Path) -> None:
    lines = [
        "size,colour,price",
        *(f"{number},{'red' if number % 3 else 'blue'},{number * 2.5}" for number in range(30)),
    ]
    (tmp_path / "houses.csv").write_text("\n".join(lines))
    draft = own_draft(tmp_path, path="houses.csv", target="price")
    async with opened(tmp_path / "runs", "data", (120, 40), draft=draft) as (lab, pilot):
        await until(pilot, on_screen(pilot, "● houses.csv", "Your own file", "to predict price"))
        await until(pilot, on_screen(pilot, "30 samples · 3 features · 1 number to predict", "mostly red"))
        assert screen_of(lab).table.listing.lines[0].key == "file"
        await at(lab, pilot, "iris")
        await pilot.press("u")
        assert "path" not in lab.session.draft.document["data"]
        await until(pilot, lambda: "houses.csv" not in text_of(pilot))


async def test_ones_own_images_of_any_channels(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((40, 6, 9, 4)), np.arange(40) % 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y)
    draft = own_draft(tmp_path, path="own.npz")
    async with opened(tmp_path / "runs", "data", (80, 24), draft=draft) as (lab, pilot):
        await until(pilot, on_screen(pilot, "40 samples · 6 × 9 × 4 · 2 classes"))
        await until(pilot, on_screen(pilot, "▀"))
        assert len(lab.screen.query_one(ImageGrid).images) == 29  # the training part


async def test_a_file_that_is_missing_damaged_and_well_again_is_told_in_its_place(tmp_path: Path) -> None:
    draft = own_draft(tmp_path, path="own\x1b[31m.csv".replace("\x1b[31m", "[red]"), target="y")
    own = tmp_path / "own[red].csv"
    async with opened(tmp_path / "runs", "data", draft=draft) as (_, pilot):
        await until(pilot, on_screen(pilot, "own[red].csv", "missing", "There is no file"))
        own.write_text("x,y\n1,2\n3\n")
        await pilot.press("r")
        await until(pilot, on_screen(pilot, "line 3"))
        own.write_bytes(b"\x00\xff" * 1000)
        await pilot.press("r")
        await until(pilot, lambda: "line 3" not in text_of(pilot))
        own.write_text("x,y\n" + "".join(f"{number},{number / 3}\n" for number in range(30)))
        await pilot.press("r")
        await until(pilot, on_screen(pilot, "30 samples"))


async def test_a_damaged_download_is_told_and_can_be_had_again(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mnist"
    write_set(Mnist(), folder)
    async with opened(tmp_path / "runs", "data", data=tmp_path / "data") as (lab, pilot):
        await at(lab, pilot, "mnist")
        await until(pilot, on_screen(pilot, "60 samples"))
        (folder / Mnist.files[0].name).write_bytes(b"\x1b[31mjunk")
        await pilot.press("r")
        await until(pilot, lambda: "is no intact gzip file" in screen_of(lab).problem)
        await until(pilot, on_screen(pilot, "is no intact"))
        assert "\x1b" not in text_of(pilot)
        assert screen_of(lab).check_action("download", ()) is True


class Server(ThreadingHTTPServer):
    """Serves files by name, after `go` is set the rest of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.go = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        content = self.server.files.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        half = (len(content) - start) // 2
        self.wfile.write(content[start : start + half])
        self.wfile.flush()
        self.server.go.wait(120)
        with suppress(OSError):  # nobody may want the rest
            self.wfile.write(content[start + half :])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A mirror of a small Fashion-MNIST."""
    server = Server()
    write_set(FashionMnist(), tmp_path / "made", train=400)
    files = []
    for file in FashionMnist.files:
        content = server.files[file.name] = (tmp_path / "made" / file.name).read_bytes()
        files.append(RemoteFile(file.name, len(content), hashlib.sha256(content).hexdigest(), file.item_shape))
    monkeypatch.setattr(FashionMnist, "files", tuple(files))
    monkeypatch.setattr(FashionMnist, "mirrors", (f"http://127.0.0.1:{server.server_port}/",))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.go.set()
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_download_has_a_bar_and_ends_with_a_preview(tmp_path: Path, server: Server) -> None:
    async with opened(tmp_path / "runs", "data", data=tmp_path / "data") as (lab, pilot):
        await at(lab, pilot, "fashion_mnist")
        await until(pilot, on_screen(pilot, "It is not on this machine. d downloads it"))
        await pilot.press("d")
        await until(pilot, on_screen(pilot, "It is being downloaded", "%", "━"))
        await at(lab, pilot, "iris")  # it goes on meanwhile
        await until(pilot, on_screen(pilot, "150 samples"))
        assert "It is being downloaded" not in text_of(pilot)
        server.go.set()
        await until(pilot, on_screen(pilot, "fashion_mnist is here"))
        await at(lab, pilot, "fashion_mnist")
        await until(pilot, on_screen(pilot, "420 samples", "t-shirt"))


async def test_a_download_is_cancelled_and_gone_on_with(tmp_path: Path, server: Server) -> None:
    async with opened(tmp_path / "runs", "data", data=tmp_path / "data") as (lab, pilot):
        await at(lab, pilot, "fashion_mnist")
        await pilot.press("d")
        part = tmp_path / "data" / "fashion-mnist" / f"{FashionMnist.files[0].name}.part"
        await until(pilot, lambda: part.exists() and part.stat().st_size)
        download = screen_of(lab).downloads["fashion_mnist"]
        await pilot.press("escape")
        await until(pilot, on_screen(pilot, "is cancelled", "It is not on this machine"))
        server.go.set()
        await until(pilot, lambda: download.over)
        assert part.exists()
        await pilot.press("d")
        await until(pilot, on_screen(pilot, "fashion_mnist is here"))


async def test_a_download_that_fails_says_why(tmp_path: Path, server: Server) -> None:
    server.files.clear()
    async with opened(tmp_path / "runs", "data", data=tmp_path / "data") as (lab, pilot):
        await at(lab, pilot, "fashion_mnist")
        await pilot.press("d")
        await until(pilot, on_screen(pilot, "It is not on this machine", "could not be downloaded:", "answers 404"))


@pytest.mark.parametrize("size", [(20, 5), (30, 8), (50, 12), (80, 24), (120, 40), (200, 60)])
async def test_any_size_can_be_drawn(tmp_path: Path, size: tuple[int, int]) -> None:
    async with opened(tmp_path, "data", size) as (lab, pilot):
        for key in ("digits", "blobs", "breast_cancer", "diabetes", "multilabel", "mnist"):
            await at(lab, pilot, key)
            await pilot.pause(0.3)
            text_of(pilot)
        await pilot.resize_terminal(20, 5)
        text_of(pilot)
        await pilot.resize_terminal(80, 24)
        await at(lab, pilot, "iris")
        await until(pilot, on_screen(pilot, "150 samples"))


async def test_hostile_names_of_classes_and_columns_are_harmless(tmp_path: Path) -> None:
    rows = [f"{number},{'a' if number % 2 else chr(27) + '[31m[bold]本'}" for number in range(40)]
    (tmp_path / "own.csv").write_text("\n".join(["\x1b]0;x\x07[red]日,y", *rows]))
    draft = own_draft(tmp_path, path="own.csv", target="y")
    async with opened(tmp_path / "runs", "data", (80, 24), draft=draft) as (_, pilot):
        await until(pilot, on_screen(pilot, "[bold]本", "[red]日"))
        assert not set(map(chr, range(32))) & set(text_of(pilot).replace("\n", ""))
