"""Values out of a pickle without unpickling it: its opcodes are read one by one, and nothing in the file is called.

Known are numbers, texts, bytes, lists, tuples, dictionaries, and arrays of unsigned bytes as numpy writes them. A file
that asks for anything else is refused.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tuilab.blocks.arrays import HostArray

Name: TypeAlias = tuple[str, str]

ARRAYS = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
ENCODE = ("_codecs", "encode")
"""How Python 3 writes bytes for Python 2: as a text, to be encoded as latin-1."""
NAMED = ARRAYS | {("numpy", "ndarray"), ("numpy", "dtype"), ENCODE}
BYTE_TYPES = ("u1", "|u1", "uint8")

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = {
    *("BININT", "BININT1", "BININT2", "INT", "LONG1"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINUNICODE", "SHORT_BINUNICODE", "UNICODE"),
}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NOTHING = {"PROTO", "FRAME"}


class UnknownPickle(ValueError):
    """The file asks for something that is not known here."""


@dataclass
class _Made:
    """What a pickle would have made by calling something."""

    by: Name
    arguments: tuple[Any, ...]
    state: Any = None


class _Mark:
    """Where the entries of a list, a tuple or a dictionary begin on the stack."""


def read_pickle(content: bytes) -> Any:
    """Return the value in a pickle; raises ValueError where it is damaged, or holds what is not known here."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's of odd escapes in texts
            for opcode, argument, _ in pickletools.genops(content):
                if opcode.name == "STOP":
                    return plain(stack.pop())
                _do(opcode.name, argument, stack, memo)
    except UnknownPickle:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, EOFError) as error:
        raise ValueError("is damaged") from error
    raise ValueError("is cut short")


def _do(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in VALUES:
        stack.append(argument)
    elif name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in EMPTY:
        stack.append(EMPTY[name]())
    elif name == "MARK":
        stack.append(_Mark)
    elif name == "TUPLE":
        stack.append(tuple(_since_mark(stack)))
    elif name in TUPLES:
        entries = stack[-TUPLES[name] :]
        del stack[-TUPLES[name] :]
        stack.append(tuple(entries))
    elif name in ("APPEND", "APPENDS"):
        entries = [stack.pop()] if name == "APPEND" else _since_mark(stack)
        stack[-1].extend(entries)
    elif name in ("SETITEM", "SETITEMS"):
        entries = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _since_mark(stack)
        stack[-1].update(zip(entries[::2], entries[1::2], strict=True))
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[argument])
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        parts = argument.split(" ") if name == "GLOBAL" else [stack.pop(-2), stack.pop()]
        if tuple(parts) not in NAMED:
            raise UnknownPickle(f"asks for {'.'.join(map(str, parts))}, which has no place in it")
        stack.append(tuple(parts))
    elif name == "REDUCE":
        arguments, by = stack.pop(), stack.pop()
        stack.append(arguments[0].encode("latin-1") if by == ENCODE else _Made(by, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if not isinstance(stack[-1], _Made):
            raise UnknownPickle("sets the state of what has none")
        stack[-1].state = state
    elif name not in NOTHING:
        raise UnknownPickle(f"asks for {name}, which has no place in it")


def _since_mark(stack: list[Any]) -> list[Any]:
    place = len(stack) - 1 - stack[::-1].index(_Mark)
    entries = stack[place + 1 :]
    del stack[place:]
    return entries


def plain(value: Any) -> Any:
    """Return a value with its arrays made: at the top, or as entries of a dictionary."""
    if isinstance(value, dict):
        return {_text(key): _array(entry) if isinstance(entry, _Made) else entry for key, entry in value.items()}
    return _array(value) if isinstance(value, _Made) else value


def _array(made: _Made) -> HostArray:
    if made.by not in ARRAYS:
        raise UnknownPickle("holds what is no array")
    _, shape, kind, by_columns, content = made.state
    if not isinstance(kind, _Made) or kind.by != ("numpy", "dtype") or _text(kind.arguments[0]) not in BYTE_TYPES:
        raise UnknownPickle("holds an array of something else than unsigned bytes")
    if by_columns or not all(isinstance(extent, int) and extent >= 0 for extent in shape):
        raise UnknownPickle("holds an array in an order that is not known here")
    values = _bytes(content)
    if len(values) != math.prod(shape):
        raise ValueError("holds an array of another size than it declares")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _bytes(content: Any) -> bytes:
    return content.encode("latin-1") if isinstance(content, str) else bytes(memoryview(content))


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value
