"""Files that are none, or that were made to keep a parser busy: refused at once, with one plain line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.experiment.experiments import IRIS, slowness
from tuilab.errors import ExperimentError
from tuilab.experiment.guard import MOST_BYTES, absurdity, read_guarded
from tuilab.experiment.load import load_experiment
from tuilab.text import clean_text


@contextmanager
def quickly() -> Iterator[None]:
    started = time.process_time()
    yield
    taken = time.process_time() - started
    assert taken < 2 or taken < 2 * slowness()


def refusal(path: Path, raw: bytes | str) -> str:
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    with quickly(), pytest.raises(ExperimentError) as error:
        load_experiment(path)
    assert error.value.exit_code == 2
    lines = str(error.value).splitlines()
    assert all(clean_text(line, 700) == line for line in lines), lines
    assert len(lines) <= 21
    return str(error.value).replace(str(path), "FILE")


SMALLEST = """
data.dataset = "iris"
layers = [{ type = "dense", units = 3 }]
training.loss = "mean_squared_error"
"""

EMPTY = [
    'FILE: data: is missing (what it learns from, for example dataset = "iris")',
    "FILE: layers: is missing (from input to output)",
    "FILE: training: is missing (how it learns, at least the loss)",
]
NO_TOML = "FILE: is not valid TOML: "

REFUSED: dict[str, tuple[bytes | str, str | None]] = {
    "nothing": ("", "\n".join(EMPTY)),
    "blank": (" \n\n#\n", "\n".join(EMPTY)),
    "prose": ("Dear tuilab,\ntrain.", NO_TOML + "… (at line 1, column 6)"),
    "half a table": ("\n[data\ndataset = 1", NO_TOML + "… (at line 2, column 6)"),
    "a key twice": ("seed = 1\nseed = 2\n", NO_TOML + "… (at line 2, column 9)"),
    "an open string": ('name = "mine', NO_TOML + "… (at end of document)"),
    "a control character": ('name = "\x1b[31m"', NO_TOML + "… (at line 1, column 9)"),
    "a null": ("\x00", NO_TOML + "… (at line 1, column 1)"),
    "a picture": (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)),
        "FILE: is not UTF-8 text: not an experiment file",
    ),
    "UTF-16": ("name = 1".encode("utf-16"), "FILE: is not UTF-8 text: not an experiment file"),
    "Latin-1": ('name = "übung"'.encode("latin-1"), "FILE: is not UTF-8 text: not an experiment file"),
    "too large": ("#" * (MOST_BYTES + 1), "FILE: is larger than 256 KiB: not an experiment file"),
    "a dotted key": ("\n\n" + "a." * 50_000 + "a = 1", "FILE: line 3: a key has more than 8 parts"),
    "a dotted table": ("[" + "a." * 50_000 + "a]", "FILE: line 1: a key has more than 8 parts"),
    "many dotted tables": (("[" + "a." * 50 + "a]\n") * 2000, "FILE: line 1: a key has more than 8 parts"),
    "a key with spaces": ("a" + " .\ta" * 20_000 + " = 1", "FILE: line 1: a key has more than 8 parts"),
    "a quoted key": ('"a"' + '.\'a\'."\\""' * 20_000 + " = 1", "FILE: line 1: a key has more than 8 parts"),
    "a key after text": (
        '"""\n"""."x" = 1\nx = """\n\\""" # "\n\n"""\n' + "a." * 50_000 + "a = 1",
        "FILE: line 7: a key has more than 8 parts",
    ),
    "a key behind quotes": (
        'x = { a = """y"""", ' + "a." * 50_000 + "a = 1 }",
        "FILE: line 1: a key has more than 8 parts",
    ),
    "a key behind more quotes": (
        "x = { a = '''y''''', " + "a." * 50_000 + "a = 1 }",
        "FILE: line 1: a key has more than 8 parts",
    ),
    "deep lists": ("a = " + "[" * 100_000 + "]" * 100_000, "FILE: is nested more than 16 deep"),
    "deep tables": ("a = " + "{a=" * 50_000 + "1" + "}" * 50_000, "FILE: is nested more than 16 deep"),
    "a deep list, once": (f"a = {'[' * 17}{']' * 17}", "FILE: is nested more than 16 deep"),
    "a huge integer": ("seed = " + "9" * 200_000, "FILE: a number has 400 digits or more"),
    "a huge integer in groups": ("seed = " + "9_" * 100_000 + "9", "FILE: a number has 400 digits or more"),
    "a huge hexadecimal integer": ("seed = 0x" + "fA" * 100_000, "FILE: a number has 400 digits or more"),
    "a huge binary integer": ("seed = 0b" + "10" * 100_000, "FILE: a number has 400 digits or more"),
    "a huge fraction": ("seed = 0." + "9" * 200_000, "FILE: a number has 400 digits or more"),
    "a number just not huge": (
        SMALLEST + "seed = " + "9" * 399,
        "FILE: seed: must be less than 9223372036854775808, got a huge number",
    ),
    "a long key": (SMALLEST + '"' + "k" * 200_000 + '" = 1', None),
    "a long key with escapes": (SMALLEST + '"' + "\\u001b" * 30_000 + '" = 1', None),
    "a long bare key": (SMALLEST + "k" * 200_000 + " = 1", None),
    "a long name": (SMALLEST + f'name = "{"x" * 200_000}"', None),
    "a long block": (SMALLEST.replace("mean_squared_error", "x" * 200_000), None),
    "a long type": (SMALLEST.replace("dense", "x" * 200_000), None),
    "many keys": (SMALLEST + "\n".join(f"k{number} = 1" for number in range(20_000)), None),
    "many keys in a block": (
        SMALLEST.replace("units = 3", ", ".join(f"k{number} = 1" for number in range(15_000))),
        None,
    ),
    "many keys like known ones": (
        SMALLEST.replace("units = 3", ", ".join(f"unit{number} = 1" for number in range(15_000))),
        None,
    ),
    "many layers": ("[[layers]]\ntype = 'flatten'\n" * 7000, None),
    "many wrong layers": (SMALLEST.replace("layers = [", "layers = [" + "1," * 100_000), None),
    "many wrong tables": ("[[layers]]\n" * 20_000, None),
    "many metrics": (SMALLEST + "training.metrics = [" + "'x'," * 50_000 + "]", None),
    "many sizes": (
        SMALLEST.replace("[{", "[{ type = 'reshape', target_shape = [" + "9," * 90_000 + "'a'] }, {"),
        None,
    ),
    "many classes": (
        SMALLEST + "training.class_weight = {" + ",".join(f"k{number} = 'a'" for number in range(18_000)) + "}",
        None,
    ),
    "many equal tables": ("[data]\n" * 30_000, None),
    "open strings": ('"' + '\\"' * 120_000, None),
    "open long strings": ('"""' + '\\"""' * 60_000 + "\\", None),
    "open literal strings": ("'''" + "''" * 100_000, None),
    "quotes": ('"' * 250_000, None),
    "single quotes": ("'" * 250_001, None),
    "quotes in turn": ("\"'" * 120_000, None),
    "open comments": ("#" + '"' * 250_000, None),
    "brackets that close": ("]" * 100_000 + "[" * 100_000, None),
    "dots": ("a" + "." * 250_000, None),
    "words": ("a " * 120_000, None),
    "spaces": ("a" + " " * 250_000 + "b", None),
    "backslashes": ('"' + "\\" * 250_000, None),
    "digits": ("1" * 399 + ("\n" + "1" * 399) * 600, None),
}
"""What a file holds, and what is said, … standing for anything; None where only the form and the time count."""


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(raw: bytes | str, message: str | None, tmp_path: Path) -> None:
    said = refusal(tmp_path / "x.toml", raw)
    start, dots, end = (message or "FILE: …").partition("…")
    assert said.startswith(start)
    assert said.endswith(end)
    assert dots or said == message


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(path: Path | str) -> str:
        with pytest.raises(ExperimentError) as error:
            load_experiment(path)
        return str(error.value)

    monkeypatch.chdir(tmp_path)
    assert said("no.toml") == "no.toml: there is no such file; 'tuilab models' lists the ready-made experiments"
    (tmp_path / "folder.toml").mkdir()
    assert said("folder.toml") == "folder.toml: cannot be read: Is a directory"
    (tmp_path / "file").write_text("")
    assert said("file/x.toml") == "file/x.toml: cannot be read: Not a directory"
    assert said("x" * 300 + ".toml").endswith(": cannot be read: File name too long")
    assert said("a\0b.toml") == "a�b.toml: cannot be read: embedded null byte"
    assert said("\x1b[2J\n.toml").startswith("�[2J .toml: there is no such file")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    assert "cannot be read: Too many levels of symbolic links" in said("loop.toml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(IRIS)
    path.chmod(0)
    with pytest.raises(ExperimentError, match="cannot be read: Permission denied"):
        load_experiment(path)


def test_a_file_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ExperimentError, match=r"x\.toml: cannot be read: Permission denied$"):
        load_experiment(tmp_path / "x.toml")


def test_no_more_than_the_limit_is_read() -> None:
    with quickly(), pytest.raises(ExperimentError, match="is larger than 256 KiB"):
        read_guarded(Path("/dev/zero"))


@pytest.mark.parametrize(
    "text",
    [
        IRIS,
        "",
        "a.b.c.d.e.f.g.h = 1",
        "[a.b.c.d.e.f.g.h]",
        f"a = {'[' * 16}{']' * 16}",
        "a = [\n" + "[1, 2],\n" * 1000 + "]",
        "a = " + "9" * 399,
        f'a = "{"[" * 100}"',
        f"a = '{'{' * 100}'",
        f"# {'[' * 100} {'a.' * 100}a {'9' * 1000}",
        f'a = "{"a." * 100}a"',
        f'a = """\n{"a." * 100}a\n"quoted" {"[" * 50} ""two"" {"9" * 1000} \\""" """',
        f"a = '''\n{'a.' * 100}a\n'quoted' {'[' * 50} ''two'' '''",
        f'a = "\\"{"[" * 50}\\\\"',
        f'"{"[" * 50}".x = 1',
        'x = """y""""\n[a]\n[b]',
        "a = 1.5\nb = 1979-05-27T07:32:00.999999Z",
    ],
)
def test_what_people_write_is_let_through(text: str, tmp_path: Path) -> None:
    assert absurdity(text) is None
    path = tmp_path / "x.toml"
    path.write_text(text)
    assert read_guarded(path) == text


def test_a_mark_that_editors_put_first_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + IRIS.encode().replace(b"\n", b"\r\n"))
    assert load_experiment(path).name == "small"


def test_exactly_the_limit_is_let_through(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(IRIS + "#" * (MOST_BYTES - len(IRIS)))
    assert load_experiment(path).name == "small"
