"""Downloads: from the publishers' mirrors into the data folder, checked, resumable, and never half there.

A file grows as NAME.part and gets its name only when its SHA-256 is that of the published file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from tuilab import __version__
from tuilab.blocks.datasets import Dataset, Downloaded, IdxImages, RemoteFile
from tuilab.data.cifar import read_archive
from tuilab.data.folders import data_folder, find_folder, shown
from tuilab.data.idx import read_idx
from tuilab.errors import DataError, StorageError, UsageError
from tuilab.text import clean_text

TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16  # bytes
TRIES = 3  # at one mirror, as long as each brings the file further

Progress = Callable[[str, int, int], None]
"""Called with the name of a file, the bytes that are there, and the bytes of the whole file."""


class _MirrorError(Exception):
    """What one mirror did wrong; the next may do better."""


def fetch(
    dataset: Dataset, data_dir: Path | None = None, progress: Progress | None = None, mirrors: Sequence[str] = ()
) -> Path:
    """Download what is missing or broken of a data set and return its folder. `mirrors` replace the published ones.

    Raises UsageError for a set that needs no download, DataError where no mirror has a file, StorageError where the
    folder cannot be written.
    """
    name = dataset.type_name()
    if not isinstance(dataset, Downloaded):
        raise UsageError(f"{name} needs no download: it comes with tuilab")
    folder = find_folder(dataset, data_dir) or data_folder(data_dir) / dataset.folders[0]
    with _storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if any(_is_whole(dataset, RemoteFile(name, 0, ""), folder) for name in dataset.other_files):
        return folder
    for file in dataset.files:
        if not _is_whole(dataset, file, folder):
            fetch_file(file, folder, mirrors or dataset.mirrors, progress or _ignore)
    return folder


def fetch_file(file: RemoteFile, folder: Path, mirrors: Sequence[str], progress: Progress) -> None:
    """Download one file into `folder` from the first mirror that has it, going on with a part that is there."""
    part = folder / f"{file.name}.part"
    failures = []
    with _storing(part), part.open("ab") as output:
        try:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"{shown(part)}: is being downloaded already; wait until that has ended") from None
        for mirror in mirrors:
            try:
                _fetch_from(mirror + file.name, file, output, progress)
            except _MirrorError as failure:
                failures.append(f"  {clean_text(mirror)}: {clean_text(str(failure))}")
            else:
                os.fsync(output.fileno())
                part.replace(folder / file.name)
                return
        if not output.tell():
            part.unlink()
    raise DataError(
        "\n".join((f"{file.name} could not be downloaded:", *failures))
        + f"\nTry again later (what has arrived is kept), or put the file into {shown(folder)} by hand"
    )


def _fetch_from(url: str, file: RemoteFile, output: BinaryIO, progress: Progress) -> None:
    """Bring `output` to the published content. Raises _MirrorError."""
    for attempt in range(TRIES):
        start = output.seek(0, os.SEEK_END)
        try:
            if start < file.size:
                _transfer(url, file, output, progress)
        except _MirrorError:
            if output.tell() <= start or attempt == TRIES - 1:
                raise
            continue
        output.flush()
        with open(output.name, "rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() == file.sha256:
                return
        _empty(output)
        if not start:  # all of it came from here; otherwise the part that was there may be to blame
            break
    raise _MirrorError("sends another file than the published one (its SHA-256 differs)")


def _transfer(url: str, file: RemoteFile, output: BinaryIO, progress: Progress) -> None:
    """Append to `output` what it lacks. Raises _MirrorError, with what arrived until then kept.

    The part may come from another mirror, so no validator of this one (If-Range) applies: size and SHA-256 decide.
    """
    start = output.tell()
    with _answer(url, start) as response:
        if response.status == 206:
            given = response.headers.get("Content-Range", "none")
            if given != f"bytes {start}-{file.size - 1}/{file.size}":
                raise _MirrorError(f"sends another range than the one asked for ({given})")
        else:
            length = response.headers.get("Content-Length")
            if length is not None and length != str(file.size):
                raise _MirrorError(f"offers {length} bytes, the published file has {file.size}")
            if start:
                _empty(output)
        done = output.tell()
        progress(file.name, done, file.size)
        for chunk in _chunks(response):
            done += len(chunk)
            if done > file.size:
                _empty(output)
                raise _MirrorError(f"sends more than the {file.size} bytes of the published file")
            output.write(chunk)
            progress(file.name, done, file.size)
    if done < file.size:
        raise _MirrorError(f"broke off after {done} of {file.size} bytes")


def _empty(output: BinaryIO) -> None:
    output.seek(0)
    output.truncate()


@contextmanager
def _answer(url: str, start: int) -> Iterator[HTTPResponse]:
    """Ask for `url` from byte `start`; network trouble becomes _MirrorError."""
    _check_url(url)
    local = urlsplit(url).scheme == "http"
    opener = build_opener(_Redirects(), *([ProxyHandler({})] if local else []))
    headers = {"User-Agent": f"tuilab/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = opener.open(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        raise _MirrorError(f"answers {error.code} {error.reason}") from None
    except URLError as error:
        raise _MirrorError(str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise _MirrorError(str(error) or type(error).__name__) from None
    with response:
        yield response


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(CHUNK)
        except (OSError, HTTPException) as error:
            raise _MirrorError(f"broke off ({str(error) or type(error).__name__})") from None
        if not chunk:
            return
        yield chunk


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, but never from https to an open connection."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _check_url(newurl)
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise _MirrorError(f"redirects to an open connection ({newurl})")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_url(url: str) -> None:
    """Raise _MirrorError for anything but https; this machine itself may be asked by http."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1"):
        raise _MirrorError(f"{url} is not https")


def _is_whole(dataset: Downloaded, file: RemoteFile, folder: Path) -> bool:
    """Whether a file is there and can be read. It need not be the published one to the byte: it may be packed anew."""
    try:
        if isinstance(dataset, IdxImages):
            read_idx(folder / file.name, file.item_shape)
        else:
            read_archive(folder / file.name)
    except DataError:
        return False
    return True


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    """Turn what goes wrong with the disk into StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"{shown(path)}: the disk is full; make room, what has arrived is kept"
        else:
            message = f"{shown(path)}: cannot be written ({error.strerror}); name another folder with --data-dir"
        raise StorageError(message) from None


def _ignore(name: str, done: int, size: int) -> None:
    """Report nothing."""
