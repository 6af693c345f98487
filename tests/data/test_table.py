"""The user's own .csv files: what the columns are taken for, and what is refused, with line and column."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuilab.blocks.datasets import Column, DataInfo
from tuilab.data import csv_file
from tuilab.data.table import describe_table, read_table
from tuilab.errors import DataError

HOUSES = """area,district,price
50.5,north,100.0
80,south,250.5
65,"east, old",180.25
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "houses.csv"


def table(file: Path, text: str, target: str | list[str] | None = "y") -> tuple[DataInfo, list, list]:
    file.write_text(text, encoding="utf-8")
    info, features, targets = read_table(file, target)
    assert info == describe_table(file, target)
    assert features.dtype == np.float32
    assert targets.dtype == (np.int64 if info.task in ("binary", "categorical") else np.float32)
    return info, features.tolist(), targets.tolist()


def refusal(file: Path, text: str | bytes, target: str | list[str] | None = "y") -> str:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError) as error:
        read_table(file, target)
    message = str(error.value)
    assert "houses.csv" in message
    assert "\n" not in message
    return message.replace(str(file), "houses.csv")


def test_numbers_texts_and_a_number_to_predict(file: Path) -> None:
    info, features, targets = table(file, HOUSES, "price")
    assert info == DataInfo(
        (4,),
        "regression",
        features=("area", "district=east, old", "district=north", "district=south"),
        columns=(Column("area"), Column("district", ("east, old", "north", "south"))),
    )
    assert features == [[50.5, 0, 1, 0], [80, 0, 0, 1], [65, 1, 0, 0]]
    assert targets == [[100], [250.5], [180.25]]


@pytest.mark.parametrize(
    ("cells", "task", "classes", "targets"),
    [
        (["no", "yes", "no"], "binary", ("no", "yes"), [0, 1, 0]),
        (["True", "False", "True"], "binary", ("False", "True"), [1, 0, 1]),
        (["b", "c", "a"], "categorical", ("a", "b", "c"), [1, 2, 0]),
        (["10", "9", "-1"], "categorical", ("-1", "9", "10"), [2, 1, 0]),
        (["1", "0", "1"], "binary", ("0", "1"), [1, 0, 1]),
        (["1.0", "0", "1"], "regression", (), [[1], [0], [1]]),
        (["1e3", "2", "3"], "regression", (), [[1000], [2], [3]]),
        ([str(n) for n in range(20)], "categorical", tuple(str(n) for n in range(20)), list(range(20))),
        ([str(n) for n in range(21)], "regression", (), [[n] for n in range(21)]),
    ],
)
def test_what_a_target_is_taken_for(file: Path, cells: list[str], task: str, classes: tuple, targets: list) -> None:
    rows = "\n".join(f"0.5,{cell}" for cell in cells)
    info, _, found = table(file, f"x,y\n{rows}\n")
    assert (info.task, info.classes, found) == (task, classes, targets)


def test_several_targets(file: Path) -> None:
    text = "x,a,b\n1,0,1\n2,1,1\n3,1,0\n"
    info, features, targets = table(file, text, ["b", "a"])
    assert (info.task, info.classes, info.features) == ("multi_label", ("b", "a"), ("x",))
    assert features == [[1], [2], [3]]
    assert targets == [[1, 0], [1, 1], [0, 1]]
    info, _, targets = table(file, text.replace("2,1,1", "2,1,7"), ["a", "b"])
    assert (info.task, info.targets, targets) == ("regression", 2, [[0, 1], [1, 7], [1, 0]])
    assert table(file, text, ["a"])[0].task == "binary"


def test_a_quote_a_blank_line_spaces_and_a_byte_order_mark(file: Path) -> None:
    _, features, targets = table(file, '\ufeffx, y\r\n 1 ,"a "\r\n\r\n2,b\r\n,\r\n')
    assert features == [[1], [2]]
    assert targets == [0, 1]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(file: Path, delimiter: str) -> None:
    text = "x,y\n1,no\n2,yes\n".replace(",", delimiter)
    assert table(file, text)[1] == [[1], [2]]


def test_what_is_missing_is_named_with_line_and_column(file: Path) -> None:
    place = "houses.csv, line 4, column 'x': the value is missing"
    assert refusal(file, "x,y\n1,a\n\n,b\n").startswith(f"{place}; fill it in or remove the row")
    assert refusal(file, "x,y\n1,a\n2,b\nNA,b\n").startswith(f"{place} ('NA'); ")
    assert refusal(file, "x,y\nred,a\nblue,b\nn/a,b\n").startswith(f"{place} ('n/a'); ")


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "1e39", "1e999"])
def test_what_is_no_number_to_learn_from_is_named(file: Path, value: str) -> None:
    assert refusal(file, f"x,z,y\n1,2,a\n1,{value},b\n").startswith("houses.csv, line 3, column 'z': ")
    assert refusal(file, f"x,y\n1,2.5\n1,3.5\n2,{value}\n").startswith("houses.csv, line 4, column 'y': ")


def test_a_text_among_numbers_is_a_mistake_and_not_a_category(file: Path) -> None:
    assert refusal(file, "x,y\n1,a\n2,b\n3 kg,a\n") == (
        "houses.csv, line 4, column 'x': '3 kg' is not a number; correct it"
    )
    assert "line 3, column 'y': 'many' is not a number" in refusal(file, "x,y\n1,2\n2,many\n3,4\n")
    assert "line 2, column 'y': 'few' is not a number" in refusal(file, "x,y,z\n1,few,1\n2,many,2\n", ["y", "z"])


def test_the_target_must_be_there(file: Path) -> None:
    assert refusal(file, HOUSES, None) == (
        "data.target is missing: name the column of houses.csv to predict; it has area, district, price"
    )
    assert refusal(file, HOUSES, "pric") == "data.target: houses.csv has no column 'pric', did you mean 'price'?"
    assert refusal(file, HOUSES, ["price", "floors"]) == (
        "data.target: houses.csv has no column 'floors'; it has area, district, price"
    )
    assert "every column is a target" in refusal(file, HOUSES, ["area", "district", "price"])
    assert "column 'y' holds only 'a'; a classification needs two" in refusal(file, "x,y\n1,a\n2,a\n")


def test_a_wrong_form_is_refused(file: Path) -> None:
    assert "is empty" in refusal(file, "")
    assert "is empty" in refusal(file, "\n\n")
    assert "holds no rows below its header" in refusal(file, "x,y\n")
    assert "the first line holds numbers; it must hold the names" in refusal(file, "1,2\n3,4\n")
    assert "column 1 has no name in the header" in refusal(file, ",x,y\n0,1,2\n")
    assert "two columns are named 'x'" in refusal(file, "x,x,y\n0,1,2\n")
    assert "houses.csv, line 3: has 3 cells, the header 2" in refusal(file, "x,y\n1,2\n1,2,3\n")
    assert "line 2: is not CSV" in refusal(file, 'x,y\n"1" 2,3\n')
    assert "line 3: is not CSV" in refusal(file, 'x,y\n1,2\n"1,2\n')
    assert "is not UTF-8 text" in refusal(file, b"x,y\n\xff\xfe,1\n")
    assert "is not UTF-8 text" in refusal(file, bytes(range(256)))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.csv"):
        with pytest.raises(DataError, match="there is no such file"):
            describe_table(path, "y")


def test_bounds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ",".join(f"c{number}" for number in range(10_001))
    assert "has 10001 columns, more than 10000" in refusal(file, f"{names}\n")
    rows = "\n".join(f"name {number},{number % 2}" for number in range(101))
    assert "column 'x' holds more than 100 different texts" in refusal(file, f"x,y\n{rows}\n")
    rows = "\n".join(f"1,name {number}" for number in range(1001))
    assert "column 'y' holds more than 1000 different texts" in refusal(file, f"x,y\n{rows}\n")
    assert "is not CSV (field larger than field limit" in refusal(file, f"x,y\n{'1' * 200_000},2\n")
    monkeypatch.setattr(csv_file, "LONGEST_LINE", 100)
    assert "a line is longer than 100 characters" in refusal(file, f"x,y\n1,{'2' * 200}\n")
    monkeypatch.setattr(csv_file, "MOST_VALUES", 5)
    assert "holds more than 5 values" in refusal(file, "x,y\n1,2.5\n2,3.5\n3,4.5\n")
    monkeypatch.setattr(csv_file, "MOST_BYTES", 1 << 20)
    assert "is larger than 1 MiB" in refusal(file, "x,y\n" + "1,2\n" * 300_000)


def test_many_categories_together_are_too_many_features(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuilab.data.table.MOST_COLUMNS", 3)
    assert "gives 4 features, more than 3" in refusal(file, "u,v,y\na,c,1\nb,d,2\n")


def test_names_from_the_file_cannot_reach_the_terminal_raw(file: Path) -> None:
    message = refusal(file, "x\x1b[31m,y\n1,a\n,b\n")
    assert "\x1b" not in message
    assert "column 'x�[31m'" in message


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(alphabet="0123456789.,;\"'\n\r\t-+eEnaif xy\x00é", max_size=60), header=st.sampled_from(["x,y\n", ""])
)
def test_any_text_is_a_table_or_a_data_error(file: Path, text: str, header: str) -> None:
    file.write_text(header + text, encoding="utf-8")
    with suppress(DataError):
        info, features, targets = read_table(file, "y")
        assert features.shape == (len(targets), *info.input_shape)
        assert np.isfinite(features).all()
        assert np.isfinite(targets).all()
