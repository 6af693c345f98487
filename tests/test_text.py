"""Text made safe to print, values as a file writes them, and the nearest known word."""

from __future__ import annotations

import datetime
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuilab.text import as_written, clean_text, did_you_mean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain text, 3 % – naïve ≈ 数字 🙂", "plain text, 3 % – naïve ≈ 数字 🙂"),
        ("", ""),
        ("two\nlines\r\nand\ttab", "two lines  and tab"),
        ("line\u2028separator\u2029paragraph", "line separator paragraph"),
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("\x1b]0;title\x07", "�]0;title�"),
        ("bell\x07 backspace\x08 delete\x7f null\x00", "bell� backspace� delete� null�"),
        ("C1: \x9b31m \x85", "C1: �31m �"),
        ("right to left \u202egnp.exe\u202c", "right to left �gnp.exe�"),
        ("isolate \u2066x\u2069", "isolate �x�"),
        ("zero\u200bwidth\u200djoin\ufeffmark", "zero�width�join�mark"),
        ("tag\U000e0041", "tag�"),
        ("half \ud800 a pair \udcff", "half � a pair �"),
        ("private \ue000 unassigned \U0003ffff", "private � unassigned �"),
    ],
)
def test_clean_text(text: str, clean: str) -> None:
    assert clean_text(text) == clean


def test_long_text_is_cut_to_the_limit() -> None:
    assert clean_text("x" * 200) == "x" * 200
    assert clean_text("x" * 201) == "x" * 199 + "…"
    assert clean_text("abcdef", 4) == "abc…"
    assert clean_text("\x1b" * 10, 4) == "���…"


def test_a_huge_text_takes_no_time() -> None:
    text = "x\n" * 5_000_000
    started = time.process_time()
    assert len(clean_text(text)) == 200
    assert len(as_written(text)) == 62
    assert did_you_mean(text, ["x"]) == ""
    assert time.process_time() - started < 2


@given(st.text(st.characters()), st.integers(1, 50))
def test_whatever_comes_in_one_short_printable_line_comes_out(text: str, limit: int) -> None:
    clean = clean_text(text, limit)
    assert len(clean) <= limit
    assert clean.splitlines() in ([], [clean])
    assert not any(unicodedata.category(character)[0] == "C" for character in clean)
    assert clean_text(clean, limit) == clean
    clean.encode()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("sgd", '"sgd"'),
        ("\x1b\n", '"� "'),
        ("x" * 100, '"' + "x" * 59 + '…"'),
        (True, "true"),
        (False, "false"),
        (None, "nothing"),
        (-3, "-3"),
        (10**50, "1" + "0" * 50),
        (10**5000, "a huge number"),
        (-(10**5000), "a huge number"),
        (0.5, "0.5"),
        (1e-7, "1e-07"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ([1, 2], "a list"),
        ((), "an empty list"),
        ({"a": 1}, "a table"),
        (datetime.date(1979, 5, 27), "1979-05-27"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_as_a_file_writes_them(value: Any, written: str) -> None:
    assert as_written(value) == written


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("unit", ", did you mean 'units'?"),
        ("untis", ", did you mean 'units'?"),
        ("Kernel-Initializer", ", did you mean 'kernel_initializer'?"),
        ("colour", ""),
        ("", ""),
        ("u" * 101, ""),
    ],
)
def test_did_you_mean(word: str, hint: str) -> None:
    assert did_you_mean(word, ["units", "kernel_initializer", "use_bias"]) == hint


def test_known_words_may_come_from_a_file_too() -> None:
    assert did_you_mean("price", ["\x1b[2Jprice"]) == ", did you mean '�[2Jprice'?"
    assert did_you_mean("x", iter(())) == ""


def test_a_word_among_many_thousands_is_found_quickly() -> None:
    started = time.process_time()
    assert did_you_mean("column_77777", (f"column_{number}" for number in range(10_000))) != ""
    assert time.process_time() - started < 2
