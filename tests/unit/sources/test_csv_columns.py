from __future__ import annotations

import pytest
from pyspark.sql.types import (
    ArrayType,
    CharType,
    IntegerType,
    LongType,
    StringType,
    StructField,
)

from sparkscore.errors import SourceSchemaError
from sparkscore.sources.csv_columns import find_columns


def declare(*names: str) -> list[StructField]:
    return [StructField(name, LongType()) for name in names]


def found(
    header: list[str], declared: list[StructField] | None = None, keys: tuple[str, ...] = (), *, has_header: bool = True
) -> list[tuple[str, str, bool]]:
    columns = find_columns(header, declared, keys, has_header=has_header)
    assert len({each.read_as for each in columns}) == len(columns)
    return [(each.read_as, each.name, each.declared is not None) for each in columns]


def test_a_header_names_the_columns() -> None:
    assert found(["id", "a.b", "x y"]) == [("id", "id", False), ("a.b", "a.b", False), ("x y", "x y", False)]


def test_a_column_without_a_name_gets_its_place_for_one() -> None:
    assert found(["", "id", "", "_c2"]) == [
        ("_c0", "_c0", False),
        ("id", "id", False),
        ("_c2_", "_c2_", False),
        ("_c2", "_c2", False),
    ]


def test_a_column_without_a_name_gets_none_that_differs_in_case_only() -> None:
    assert found(["a", "_C2", ""]) == [("a", "a", False), ("_C2", "_C2", False), ("_c2_", "_c2_", False)]


@pytest.mark.parametrize("header", [["sep=", ""], ["sep=;"], ["SEP=\t"]])
def test_a_line_for_spreadsheets_is_no_header(header: list[str]) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_HEADERS\].*tail"):
        found(header)
    assert found(header, has_header=False)
    assert found(["sep=", "x"])


def test_declared_columns_are_found_by_name_in_any_order_and_may_be_fewer() -> None:
    assert found(["c", "b", "a"], declare("A", "c")) == [("c", "c", True), ("b", "b", False), ("a", "A", True)]


@pytest.mark.parametrize("header", [["id", "x", "x"], ["id", "ID"], ["k", "\u212a"]])
def test_a_name_that_stands_twice_is_refused(header: list[str]) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMN_NAMES\]"):
        found(header)
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMN_NAMES\]"):
        found(header, declare(header[-1]))


def test_a_name_that_stands_twice_does_not_matter_where_others_are_declared() -> None:
    assert found(["id", "x", "x"], declare("id")) == [("id", "id", True), ("_c1", "x", False), ("_c2", "x", False)]


def test_a_declared_column_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMNS\].*'weight'.*got 'age', 'id'.*header"):
        found(["id", "age"], declare("id", "weight"))


def test_columns_without_a_header_are_found_by_position() -> None:
    assert found(["1", "2"], has_header=False) == [("_c0", "_c0", False), ("_c1", "_c1", False)]
    assert found(["1", "1"], declare("id", "x"), has_header=False) == [("_c0", "id", True), ("_c1", "x", True)]
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_COLUMNS\].*declares 1 columns.*got 2 values"):
        found(["1", "2"], declare("id"), has_header=False)


def test_keys_of_folders_come_last_and_may_be_declared() -> None:
    assert found(["id"], None, ("day",)) == [("id", "id", False), ("day", "day", False)]
    assert found(["id"], declare("day", "id"), ("day",)) == [("id", "id", True), ("day", "day", True)]
    assert found(["1"], declare("day", "id"), ("day",), has_header=False) == [("_c0", "id", True), ("day", "day", True)]


@pytest.mark.parametrize("data_type", [CharType(3), ArrayType(IntegerType())])
def test_a_type_that_no_text_has_is_refused(data_type: CharType | ArrayType) -> None:
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_SCHEMA\].*'x'"):
        found(["id", "x"], [StructField("id", StringType()), StructField("x", data_type)])
