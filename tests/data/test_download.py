"""Downloads from a true server on this machine: broken off, resumed, foreign, slow, redirected, and to a full disk."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.data.idx_files import packed
from tuilab.blocks.datasets import Iris, Mnist, RemoteFile
from tuilab.data import download
from tuilab.data.download import fetch, fetch_file
from tuilab.data.idx import read_images
from tuilab.errors import DataError, StorageError, UsageError

CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = RemoteFile("images.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), (28, 28))


class Server(ThreadingHTTPServer):
    """Serves CONTENT at /<fault>/images.gz, with that fault, and `files` at /whole/<name>; remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.over = threading.Event()
        self.files = {FILE.name: CONTENT}

    def mirror(self, fault: str = "whole") -> str:
        return f"http://127.0.0.1:{self.server_port}/{fault}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        _, fault, name = self.path.split("/")
        ranged = self.headers.get("Range")
        self.server.asked.append((fault, ranged))
        content = self.server.files.get(name)
        if content is None or fault == "missing":
            self.send_error(404)
            return
        if fault == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "whole"))
            self.end_headers()
            return
        if fault == "to-open":
            self.send_response(302)
            self.send_header("Location", f"http://example.org/{name}")
            self.end_headers()
            return
        if fault == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault == "portal":
            content = b"<html>Please log in</html>"
        if fault == "endless":
            content += b"more"
        start = int(ranged.removeprefix("bytes=").removesuffix("-")) if ranged and fault != "no-range" else 0
        self.send_response(206 if start else 200)
        if start:
            first = start + (1 if fault == "wrong-range" else 0)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        if fault != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault in ("broken", "stalled"):
            body = body[: len(body) // 2]
        if fault == "nothing":
            body = b""
        self.wfile.write(body)
        if fault == "stalled":
            self.wfile.flush()
            self.server.over.wait(60)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def silent(name: str, done: int, size: int) -> None:
    pass


Fetch = Callable[..., None]


@pytest.fixture
def get(server: Server, tmp_path: Path) -> Fetch:
    """Fetch FILE into tmp_path from mirrors with these faults, and check that it is whole and alone there."""

    def fetch_from(*faults: str) -> None:
        fetch_file(FILE, tmp_path, [server.mirror(fault) for fault in faults], silent)
        assert (tmp_path / FILE.name).read_bytes() == CONTENT
        assert [path.name for path in tmp_path.iterdir()] == [FILE.name]

    return fetch_from


def test_a_whole_file_is_fetched_with_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    fetch_file(FILE, tmp_path, [server.mirror()], lambda *report: seen.append(report))
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert seen[0] == (FILE.name, 0, FILE.size)
    assert seen[-1] == (FILE.name, FILE.size, FILE.size)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert server.asked == [("whole", None)]


def test_a_part_is_gone_on_with(server: Server, get: Fetch, tmp_path: Path) -> None:
    (tmp_path / f"{FILE.name}.part").write_bytes(CONTENT[:100_000])
    get("whole")
    assert server.asked == [("whole", "bytes=100000-")]


def test_a_part_that_is_whole_needs_no_server(server: Server, get: Fetch, tmp_path: Path) -> None:
    (tmp_path / f"{FILE.name}.part").write_bytes(CONTENT)
    get("whole")
    assert server.asked == []


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)])
def test_a_damaged_part_is_fetched_anew(server: Server, get: Fetch, tmp_path: Path, part: bytes) -> None:
    (tmp_path / f"{FILE.name}.part").write_bytes(part)
    get("whole")
    assert server.asked[-1] == ("whole", None)


def test_a_server_without_ranges_sends_all(server: Server, get: Fetch, tmp_path: Path) -> None:
    (tmp_path / f"{FILE.name}.part").write_bytes(CONTENT[:100_000])
    get("no-range")
    assert server.asked == [("no-range", "bytes=100000-")]


def test_a_transfer_that_breaks_off_is_gone_on_with(server: Server, get: Fetch) -> None:
    get("broken", "whole")
    half, three_quarters, seven_eighths = 150_000, 225_000, 262_500
    assert server.asked == [
        ("broken", None),
        ("broken", f"bytes={half}-"),
        ("broken", f"bytes={three_quarters}-"),
        ("whole", f"bytes={seven_eighths}-"),
    ]


@pytest.mark.parametrize("fault", ["missing", "corrupt", "portal", "endless", "nothing"])
def test_the_next_mirror_helps(server: Server, get: Fetch, fault: str) -> None:
    get(fault, "whole")
    assert server.asked == [(fault, None), ("whole", None)]


def test_a_wrong_range_is_not_appended(get: Fetch, tmp_path: Path) -> None:
    (tmp_path / f"{FILE.name}.part").write_bytes(CONTENT[:100_000])
    get("wrong-range", "whole")


def test_a_redirect_is_followed(server: Server, get: Fetch) -> None:
    get("moved")
    assert [fault for fault, _ in server.asked] == ["moved", "whole"]


def test_a_server_that_falls_silent_is_left(get: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    get("stalled", "whole")


def test_a_wrong_checksum_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sends another file than the published one \(its SHA-256 differs\)"):
        fetch_file(FILE, tmp_path, [server.mirror("corrupt")], silent)
    assert list(tmp_path.iterdir()) == []


def test_all_mirrors_down_says_what_each_did_and_where_the_file_belongs(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        mirrors = [server.mirror("missing"), server.mirror("portal"), closed, server.mirror("broken")]
        with pytest.raises(DataError) as error:
            fetch_file(FILE, tmp_path, mirrors, silent)
    lines = str(error.value).splitlines()
    assert lines[0] == "images.gz could not be downloaded:"
    assert lines[1] == f"  {mirrors[0]}: answers 404 Not Found"
    assert lines[2] == f"  {mirrors[1]}: offers 26 bytes, the published file has 300000"
    assert lines[3].startswith(f"  {closed}: ")
    assert "refused" in lines[3]
    assert lines[4] == f"  {mirrors[3]}: broke off after 262500 of 300000 bytes"
    assert lines[5] == f"Try again later (what has arrived is kept), or put the file into {tmp_path} by hand"
    assert (tmp_path / f"{FILE.name}.part").read_bytes() == CONTENT[:262_500]


@pytest.mark.parametrize(
    "mirror", ["http://example.org/", "ftp://127.0.0.1/", "file:///etc/", "http://127.0.0.1.example.org/"]
)
def test_only_https_is_asked(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(DataError, match="is not https"):
        fetch_file(FILE, tmp_path, [mirror], silent)
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_to_an_open_connection_is_not_followed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"http://example\.org/images\.gz is not https"):
        fetch_file(FILE, tmp_path, [server.mirror("to-open")], silent)


def test_from_https_no_redirect_leads_to_http_not_even_to_this_machine() -> None:
    request = download.Request("https://example.org/images.gz")
    with pytest.raises(download._MirrorError, match="redirects to an open connection"):
        download._Redirects().redirect_request(request, None, 302, "", None, "http://127.0.0.1/images.gz")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full to stand for a full disk")
def test_a_full_disk_is_a_storage_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{FILE.name}.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="the disk is full; make room"):
        fetch_file(FILE, tmp_path, [server.mirror()], silent)
    assert not (tmp_path / FILE.name).exists()


def test_a_folder_that_cannot_be_written_is_a_storage_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mnist").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match=r"mnist: cannot be written \(File exists\); name another folder"):
        fetch(Mnist(), tmp_path, mirrors=[server.mirror()])
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(StorageError, match=r"cannot be written \(Permission denied\)"):
            fetch(Mnist(), tmp_path / "locked", mirrors=[server.mirror()])


def test_two_downloads_of_one_file_do_not_mix(server: Server, tmp_path: Path) -> None:
    with (tmp_path / f"{FILE.name}.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="is being downloaded already"):
            fetch_file(FILE, tmp_path, [server.mirror()], silent)


@pytest.fixture
def small_mnist(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Make the server and the dataset agree on four small files."""
    labels = (np.arange(30) % 10).astype(np.uint8)
    items = [np.full((30, 28, 28), 7), labels, np.full((10, 28, 28), 9), labels[:10]]
    files = []
    for file, content in zip(Mnist.files, map(packed, items), strict=True):
        server.files[file.name] = content
        files.append(RemoteFile(file.name, len(content), hashlib.sha256(content).hexdigest(), file.item_shape))
    monkeypatch.setattr(Mnist, "files", tuple(files))
    monkeypatch.setattr(Mnist, "mirrors", (server.mirror(),))
    return server.files


@pytest.mark.usefixtures("small_mnist")
def test_a_set_is_fetched_and_can_then_be_read(server: Server, tmp_path: Path) -> None:
    seen = []
    assert fetch(Mnist(), tmp_path, lambda *report: seen.append(report)) == tmp_path / "mnist"
    images, labels, _, test_labels = read_images(Mnist(), tmp_path)
    assert len(server.asked) == 4
    assert {name for name, _, _ in seen} == {file.name for file in Mnist.files}
    assert images.shape == (30, 28, 28, 1)
    assert set(images.flat) == {7}
    assert labels[:3].tolist() == test_labels[:3].tolist() == [0, 1, 2]
    fetch(Mnist(), tmp_path)
    assert len(server.asked) == 4  # nothing is fetched twice


def test_files_packed_in_another_way_are_kept(server: Server, small_mnist: dict[str, bytes], tmp_path: Path) -> None:
    fetch(Mnist(), tmp_path)
    images = tmp_path / "mnist" / Mnist.files[0].name
    repacked = gzip.compress(gzip.decompress(small_mnist[images.name]), compresslevel=1, mtime=1)
    images.write_bytes(repacked)
    fetch(Mnist(), tmp_path)
    assert images.read_bytes() == repacked
    assert len(server.asked) == 4


def test_a_broken_file_is_fetched_anew(server: Server, small_mnist: dict[str, bytes], tmp_path: Path) -> None:
    fetch(Mnist(), tmp_path)
    images = tmp_path / "mnist" / Mnist.files[0].name
    images.write_bytes(images.read_bytes()[:-20])
    fetch(Mnist(), tmp_path)
    assert images.read_bytes() == small_mnist[images.name]
    assert len(server.asked) == 5


def test_sets_that_come_with_tuilab_need_no_download(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^iris needs no download"):
        fetch(Iris(), tmp_path)
