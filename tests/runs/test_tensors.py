"""Arrays on disk: what is read is what was written; any other file is refused at once, with one plain reason."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load

from tuilab.runs.tensors import MOST_HEADER_BYTES, MOST_TENSORS, read_tensors, write_tensors
from tuilab.text import clean_text

MOST_BYTES = 1_000_000
ENTRY = '{"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}'
BODY = bytes(8)
FOREIGN = "is not a safetensors file: "
CUT = "is cut short"
NOT_REGULAR = "is not a regular file"
LINK = "is a symbolic link, not a file of a run"


def packed(header: str | bytes, body: bytes = BODY, length: int | None = None) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + body


def entry(dtype: str = "F32", shape: str = "[2]", place: str = "[0, 8]") -> bytes:
    return packed(f'{{"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {place}}}}}')


@contextmanager
def quickly() -> Iterator[None]:
    """Fail after a second, even where a call waits for ever."""

    def give_up(*_: object) -> None:
        raise AssertionError("took more than a second")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refusal(path: Path, most_bytes: int = MOST_BYTES) -> str:
    with quickly(), pytest.raises(ValueError, match=r".") as error:
        read_tensors(path, most_bytes)
    reason = str(error.value)
    assert clean_text(reason, 300) == reason
    assert str(path.parent) not in reason
    return reason


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything: be nobody for a while."""
    before = os.geteuid()
    os.seteuid(before or 65534)
    try:
        yield
    finally:
        os.seteuid(before)


# ---------------------------------------------------------------- files that are written


def test_a_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    grid = np.arange(24.0).reshape(4, 6)
    arrays = {
        "dense_1/kernel": grid.astype("float32"),
        "by columns": np.asfortranarray(grid),
        "strided": grid[::2, ::-3],
        "number": np.array(7),
        "none": np.zeros((0, 3), "float16"),
        "not finite": np.array([np.nan, -np.inf, -0.0]),
        "flags": np.array([True, False]),
        "größe\n": np.zeros(3, "uint8"),
    }
    write_tensors(arrays, tmp_path / "file")
    read = read_tensors(tmp_path / "file", MOST_BYTES)
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape, read[name].tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_new_files_have_the_usual_permissions(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        write_tensors({"a": np.zeros(2)}, tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_is_written_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, fsync = [], os.fsync

    def noting(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    write_tensors({"a": np.zeros(2)}, tmp_path / "file")
    assert sizes == [(tmp_path / "file").stat().st_size]


# ---------------------------------------------------------------- files that are refused


def test_the_example_from_which_the_hostile_ones_differ_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(packed(f'{{"__metadata__": {{"format": "pt"}}, "a": {ENTRY}}}'))
    assert {name: array.tolist() for name, array in read_tensors(tmp_path / "file", MOST_BYTES).items()} == {
        "a": [0, 0]
    }
    (tmp_path / "file").write_bytes(entry())
    assert read_tensors(tmp_path / "file", MOST_BYTES).keys() == {"a"}


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", CUT),
    "seven bytes": (b"\xff" * 7, CUT),
    "less than its header": (packed(f'{{"a": {ENTRY}}}', b"", length=200), CUT),
    "a length of one byte more than there is": (packed("{}", b"", length=3), CUT),
    "half a body": (entry()[:-4], FOREIGN),
    "more than its header says": (entry() + b"\0", FOREIGN),
    "text": (b"Dear tuilab, these are the weights.", "its header is too large"),
    "a header of 8 EiB": (packed("{}", length=2**63), "its header is too large"),
    "a header of 16 EiB": (packed("{}", length=2**64 - 1), "its header is too large"),
    "no header": (packed("", b""), FOREIGN),
    "half a header": (packed(f'{{"a": {ENTRY}'), FOREIGN),
    "a list": (packed("[]", b""), FOREIGN),
    "a number": (packed("1", b""), FOREIGN),
    "no UTF-8": (packed(b'{"\xff": ' + ENTRY.encode() + b"}"), FOREIGN),
    "UTF-16": (packed(f'{{"a": {ENTRY}}}'.encode("utf-16")), FOREIGN),
    "deep lists": (packed('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"), FOREIGN),
    "deep tables": (packed('{"a": ' * 100_000 + "1" + "}" * 100_000), FOREIGN),
    "a tensor twice": (packed(f'{{"a": {ENTRY}, "a": {ENTRY}}}'), FOREIGN + "it names a tensor twice"),
    "a tensor twice, once in disguise": (
        packed(f'{{"a": {ENTRY}, "\\u0061": {ENTRY}}}'),
        FOREIGN + "it names a tensor twice",
    ),
    "a key twice": (entry(shape='[2], "shape": [2]'), FOREIGN),
    "two tensors in one place": (packed(f'{{"a": {ENTRY}, "b": {ENTRY}}}'), FOREIGN),
    "a place outside": (entry(shape="[4]", place="[0, 16]"), FOREIGN),
    "a place far outside": (entry(place="[18446744073709551608, 18446744073709551616]"), FOREIGN),
    "a place from its end": (entry(place="[8, 0]"), FOREIGN),
    "a place before the file": (entry(place="[-8, 0]"), FOREIGN),
    "a hole": (entry(shape="[1]", place="[4, 8]"), FOREIGN),
    "a shape for another place": (entry(shape="[3]"), FOREIGN),
    "a negative shape": (entry(shape="[-1, -2]"), FOREIGN),
    "a shape of fractions": (entry(shape="[2.0]"), FOREIGN),
    "a huge shape": (entry(shape="[4611686018427387904, 4, 2]"), FOREIGN),
    "a huge shape of nothing": (
        packed('{"a": {"dtype": "F32", "shape": [0, 4611686018427387904, 4], "data_offsets": [0, 0]}}', b""),
        FOREIGN,
    ),
    "more dimensions than numpy has": (entry(shape=f"[2{', 1' * 100}]"), FOREIGN),
    "an unknown dtype": (entry("F31"), FOREIGN),
    "a dtype that is no text": (packed('{"a": {"dtype": 4, "shape": [2], "data_offsets": [0, 8]}}'), FOREIGN),
    "bfloat16": (entry("BF16", "[4]"), "holds numbers of the type BF16, which numpy has not"),
    "float8": (entry("F8_E5M2", "[8]"), "holds numbers of the type F8_E5M2, which numpy has not"),
    "metadata of numbers": (packed(f'{{"__metadata__": {{"a": 1}}, "a": {ENTRY}}}'), FOREIGN),
    "escape codes": (packed('{"\\u001b[2J\\u202e": ' + ENTRY.replace("8", "9") + "}", bytes(9)), FOREIGN),
    "more digits than Python reads": (packed(f'{{"a": {ENTRY[:-1]}, "more": {"9" * 5000}}}}}'), FOREIGN),
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_none_is_refused(tmp_path: Path, raw: bytes, reason: str) -> None:
    (tmp_path / "file").write_bytes(raw)
    found = refusal(tmp_path / "file")
    assert found.startswith(FOREIGN) if reason == FOREIGN else found == reason


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    write_tensors({"a": np.arange(3.0), "b": np.zeros((2, 2), "int8")}, tmp_path / "file")
    whole = (tmp_path / "file").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "file").write_bytes(whole[:length])
        assert refusal(tmp_path / "file").startswith((CUT, FOREIGN))


def test_what_is_no_regular_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket has at most a hundred bytes
    os.mkfifo("pipe")
    Path("good").write_bytes(entry())
    Path("link").symlink_to("good")
    Path("dangling").symlink_to("gone")
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert refusal(tmp_path / "socket") == NOT_REGULAR
    assert refusal(tmp_path / "pipe") == NOT_REGULAR
    assert refusal(tmp_path) == NOT_REGULAR
    assert refusal(Path("/dev/zero")) == NOT_REGULAR
    assert refusal(tmp_path / "link") == refusal(tmp_path / "dangling") == refusal(tmp_path / "loop") == LINK
    assert refusal(tmp_path / "gone") == refusal(tmp_path / "gone/file") == "is missing"
    assert refusal(tmp_path / "good/file") == "not a directory"


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(entry())
    (tmp_path / "file").chmod(0)
    with ordinary_user():
        assert refusal(tmp_path / "file") == "permission denied"


# ---------------------------------------------------------------- time and memory


def test_the_size_is_checked_to_the_byte(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(entry())
    size = (tmp_path / "file").stat().st_size
    assert read_tensors(tmp_path / "file", size).keys() == {"a"}
    assert refusal(tmp_path / "file", size - 1).startswith("is too large")


def test_a_huge_file_takes_no_memory(tmp_path: Path) -> None:
    for header, most_bytes, reason in [
        (packed("{}"), 3_400_000, "is too large: 100,000.0 MB where at most 3.4 MB are expected"),
        (packed("{}", length=2**63), 10**12, "its header is too large"),
        (packed("{}", length=MOST_HEADER_BYTES + 1), 10**12, "its header is too large"),
    ]:
        (tmp_path / "file").write_bytes(header)
        os.truncate(tmp_path / "file", 10**11)
        tracemalloc.start()
        started = time.perf_counter()
        try:
            assert refusal(tmp_path / "file", most_bytes) == reason
            assert time.perf_counter() - started < 0.5
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


def many(count: int, form: str) -> bytes:
    return packed("{" + ",".join(f'"{number}":{form}' for number in range(count)) + "}", b"")


def test_tensors_are_counted_before_they_are_parsed(tmp_path: Path) -> None:
    path, form = tmp_path / "file", '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    path.write_bytes(many(MOST_TENSORS, form))
    assert len(read_tensors(path, 2 * MOST_HEADER_BYTES)) == MOST_TENSORS
    for hidden in (form, form.replace("shape", "sh\\u0061pe"), '["U8",[0],[0,0]]'):
        path.write_bytes(many(MOST_TENSORS + 1, hidden))
        started = time.perf_counter()
        assert refusal(path, 2 * MOST_HEADER_BYTES) == "holds more than 100,000 tensors"
        assert time.perf_counter() - started < 0.2


# ---------------------------------------------------------------- whatever a file holds

SOME = np.arange(6, dtype="float32")
FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = ["dtype", "shape", "data_offsets", "__metadata__", "a", "F32", "I64", "BF16", "F4", "F6_E2M3", "BOOL", "C64"]
NUMBERS = [0, 1, 2, 8, 24, 2**32, 2**62, 2**63, 2**64 - 1, 2**64, -1, 1.5, 1e300]
SIZES = {"F32": 4, "F64": 8, "U8": 1, "BOOL": 1, "C64": 8, "BF16": 2, "F8_E4M3": 1, "F99": 1}


def as_bytes(arrays: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def check_harmless(path: Path, raw: bytes, most_bytes: int = 4096) -> None:
    """Read a file that holds `raw`: the arrays that the library finds, within the bound, or ValueError with a clean
    reason, and nothing else."""
    path.write_bytes(raw)
    arrays, reason = {}, ""
    try:
        arrays = read_tensors(path, most_bytes)
    except ValueError as error:
        reason = str(error)
    assert clean_text(reason, 300) == reason
    assert reason or len(raw) <= most_bytes
    assert sum(array.nbytes for array in arrays.values()) <= most_bytes
    try:
        theirs = load(raw)
    except (SafetensorError, ValueError, KeyError):
        assert not arrays
    else:
        assert as_bytes(arrays) == as_bytes(theirs) or (not arrays and ("twice" in reason or "too large" in reason))


@FUZZ
@given(raw=st.binary(max_size=300), framed=st.booleans(), most_bytes=st.sampled_from([0, 8, 100, 4096]))
def test_any_bytes(tmp_path: Path, raw: bytes, framed: bool, most_bytes: int) -> None:
    check_harmless(tmp_path / "file", packed(raw) if framed else raw, most_bytes)


@FUZZ
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.integers(0, 6),
            st.binary(max_size=6) | st.sampled_from([*'[]{},:"', *WORDS, *map(str, NUMBERS)]).map(str.encode),
        ),
        min_size=1,
        max_size=4,
    ),
    true_length=st.booleans(),
)
def test_a_good_file_with_bytes_changed(tmp_path: Path, edits: list[tuple[int, int, bytes]], true_length: bool) -> None:
    path = tmp_path / "file"
    write_tensors({"a/b": SOME.reshape(2, 3), "empty": SOME[:0], "one": SOME[0], "é": SOME > 2}, path)
    raw = bytearray(path.read_bytes())
    body = len(raw) - 8 - int.from_bytes(raw[:8], "little")
    for place, removed, inserted in edits:
        start = place % len(raw)
        raw[start : start + removed] = inserted
    if true_length:  # else a change of length would end every other example at once
        raw[:8] = max(0, len(raw) - 8 - body).to_bytes(8, "little")
    check_harmless(path, bytes(raw))


VALUES = st.recursive(
    st.sampled_from([*NUMBERS, *WORDS, None, True]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def plausible_files(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """Draw a header that is mostly right and the size of its body, so that what the library lets through is seen."""
    header: dict[str, Any] = {}
    end = 0
    for name in draw(st.lists(st.text(max_size=5), max_size=4)):
        dtype = draw(st.sampled_from(list(SIZES)))
        shape = draw(st.lists(st.integers(0, 3) | st.sampled_from([2**31, 2**62, 2**63, 2**64 - 1]), max_size=4))
        start = end + draw(st.sampled_from([0] * 9 + [1]))
        end = start + math.prod(shape) * SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    return header, min(end, 3000)


ODD_FILES = st.tuples(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=4), st.integers(0, 64))


@FUZZ
@given(file=plausible_files() | ODD_FILES)
def test_any_header(tmp_path: Path, file: tuple[dict[str, Any], int]) -> None:
    header, size = file
    check_harmless(tmp_path / "file", packed(json.dumps(header), bytes(size)))
