"""Files that are right, but unusual: a script gets what a second reader finds in them, or the run is refused."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from sparkscore.config import Input
from sparkscore.errors import SourceError, SparkscoreError
from sparkscore.sources import open_source
from sparkscore.spark.errors import SPARK_ERRORS
from sparkscore.spark.settings import pinned_settings


def read(spark: SparkSession, location: Path, **more: object) -> list[dict[str, Any]]:
    """Give the rows as Python values, in the order of a column 'id' where there is one."""
    source = open_source(spark, Input.model_validate({"location": [str(location)], **more}), is_files_by_default=False)
    source.check_contents()
    frame = source.frame()
    assert frame is not None
    with pinned_settings(spark):
        table = frame.toArrow()
    names = [name for name in table.column_names if not name.startswith("__sparkscore")]
    rows = table.select(names).to_pylist()
    return sorted(rows, key=lambda row: row["id"]) if "id" in names else rows


def write(folder: Path, *tables: pa.Table) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


KEYS: list[tuple[str, str, Any]] = [
    ("tinyint", "007", 7),
    ("decimal(5,2)", "1.50", Decimal("1.50")),
    ("date", "2024-01-05", dt.date(2024, 1, 5)),
    ("timestamp", "2024-07-01 10%3A30", dt.datetime(2024, 7, 1, 8, 30, tzinfo=dt.UTC)),
    ("double", "1.50", 1.5),
    ("boolean", "TRUE", True),
    ("string", "007", "007"),
    ("int", "__HIVE_DEFAULT_PARTITION__", None),
]


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_keys_of_folders_have_the_values_that_are_declared(kind: str, spark: SparkSession, tmp_path: Path) -> None:
    place = "".join(f"k{number}={text}/" for number, (_, text, _) in enumerate(KEYS))
    folder = tmp_path / "in" / place
    if kind == "json":
        folder.mkdir(parents=True)
        (folder / "a.json").write_text('{"id": 1}\n')
    else:
        write(folder, pa.table({"id": [1]}))
    ddl = ", ".join(f"k{number} {declared}" for number, (declared, _, _) in enumerate(KEYS))

    (row,) = read(
        spark, tmp_path / "in", format=kind, schema=f"{ddl}, id bigint", options={"timeZone": "Europe/Berlin"}
    )

    assert row == {f"k{number}": value for number, (_, _, value) in enumerate(KEYS)} | {"id": 1}
    assert list(row) == [*(f"k{number}" for number in range(len(KEYS))), "id"]
    for declared, text in (("tinyint", "300"), ("decimal(5,2)", "1.555"), ("date", "2024-01")):
        (tmp_path / "wrong" / f"day={text}").mkdir(parents=True)
        (tmp_path / "wrong" / f"day={text}" / "a.json").write_text('{"id": 1}\n')
        with pytest.raises(SparkscoreError, match=rf"\[INPUT_VALUE\] folder 'day={text}'"):
            read(spark, tmp_path / "wrong" / f"day={text}" / "..", format="json", schema=f"id bigint, day {declared}")
        (tmp_path / "wrong" / f"day={text}" / "a.json").unlink()
        (tmp_path / "wrong" / f"day={text}").rmdir()


def test_fields_keep_their_values_whatever_order_a_file_has_them_in(spark: SparkSession, tmp_path: Path) -> None:
    other = pa.struct([("c", pa.string()), ("b", pa.int64()), ("a", pa.int64())])
    at = dt.datetime(2024, 1, 1)  # noqa: DTZ001
    nanos, micros = pa.array([at], pa.timestamp("ns")), pa.array([at], pa.timestamp("us"))
    folder = write(
        tmp_path / "in",
        pa.table({"id": [0], "x": [{"a": 1, "b": 5}], "many": [[{"a": 1, "b": 5}]], "at": nanos}),
        pa.table(
            {"id": [1], "x": pa.array([{"c": "q", "b": 7, "a": 2}], other), "many": [[{"a": 4, "b": 8}]], "at": micros}
        ),
        pa.table({"id": [2], "x": [{"b": 9, "a": None}], "many": [[{"b": 6, "a": 3}]], "at": micros}),
    )

    rows = read(spark, folder)

    assert [row["x"] for row in rows] == [
        {"a": 1, "b": 5, "c": None},
        {"a": 2, "b": 7, "c": "q"},
        {"a": None, "b": 9, "c": None},
    ]
    assert [row["many"] for row in rows] == [[{"a": 1, "b": 5}], [{"a": 4, "b": 8}], [{"a": 3, "b": 6}]]
    assert [row["at"] for row in rows] == [at] * 3


@pytest.mark.parametrize(
    ("value", "kind", "declared"),
    [
        (2**63 - 1, pa.int64(), "double"),
        (2**63 - 1, pa.int64(), "float"),
        (2.0**63, pa.float64(), "bigint"),
        ([2**63 - 1], pa.list_(pa.int64()), "array<double>"),
        ([2.0**63, None], pa.list_(pa.float64()), "array<bigint>"),
    ],
)
def test_what_saturates_is_no_exact_value(
    value: Any, kind: pa.DataType, declared: str, spark: SparkSession, tmp_path: Path
) -> None:
    folder = write(tmp_path / "in", pa.table({"id": [1], "x": pa.array([value], kind)}))

    with pytest.raises((SparkscoreError, *SPARK_ERRORS), match="INPUT_VALUE"):
        read(spark, folder, schema=f"id bigint, x {declared}")


def test_values_below_the_edge_are_read_as_declared(spark: SparkSession, tmp_path: Path) -> None:
    whole = pa.table(
        {
            "id": [1, 2],
            "x": [2**62, None],
            "y": [-(2.0**63), None],
            "z": pa.array([[2**62, None], None], pa.list_(pa.int64())),
        }
    )
    folder = write(tmp_path / "in", whole)

    rows = read(spark, folder, schema="id bigint, x double, y bigint, z array<double>")

    none = {"id": 2, "x": None, "y": None, "z": None}
    assert rows == [{"id": 1, "x": 2.0**62, "y": -(2**63), "z": [2.0**62, None]}, none]


def test_what_cannot_be_read_can_be_left_out(spark: SparkSession, tmp_path: Path) -> None:
    values = [
        pa.array([dt.time(1)]),
        pa.array(np.array([0.5], "float16")),
        pa.array([uuid.uuid4().bytes], pa.uuid()),
        pa.array([5], pa.duration("ns")),
        pa.array([Decimal("1.25")], pa.decimal256(50, 2)),
        pa.array([[5]], pa.list_(pa.timestamp("ns"))),
        pa.array([5], pa.timestamp("ns")),
        pa.nulls(1),
    ]
    folder = write(tmp_path / "in", pa.table({"id": [1]} | {str(each.type): each for each in values}))

    assert read(spark, folder, columns=["id"]) == [{"id": 1}]
    assert read(spark, folder, schema="id bigint") == [{"id": 1}]


def test_line_ends_inside_values_are_kept_as_the_refusal_says(spark: SparkSession, tmp_path: Path) -> None:
    content = b'id,x\r\n1,"a\r\nb"\r\n2,"c\nd"\r\n3,"""\r\n"\r\n4,"e\rf"\r\n5,\r\n6,g\r\n'
    (tmp_path / "a.csv").write_bytes(content)

    with pytest.raises(SourceError, match=r"\[INPUT_LINE_ENDS\].*lineSep: \"\\r\\n\""):
        read(spark, tmp_path / "a.csv")
    rows = read(spark, tmp_path / "a.csv", options={"lineSep": "\r\n"})

    assert [row["x"] for row in rows] == ["a\r\nb", "c\nd", '"\r\n', "e\rf", None, "g"]
    (tmp_path / "b.csv").write_bytes(content.replace(b"\r\n", b"\r"))
    rows = read(spark, tmp_path / "b.csv", options={"lineSep": "\r"})
    assert [row["x"] for row in rows] == ["a\rb", "c\nd", '"\r', "e\rf", None, "g"]


def test_a_column_may_have_the_name_that_spark_gives_to_broken_rows(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,_corrupt_record\n1,a\n")

    assert read(spark, tmp_path / "a.csv") == [{"id": 1, "_corrupt_record": "a"}]


def test_nulls_that_spark_makes_of_broken_records_are_counted(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"id": 1, "x": 2}\nbroken\n')
    config = Input.model_validate({"location": [str(tmp_path / "a.json")], "options": {"mode": "PERMISSIVE"}})

    source = open_source(spark, config, is_files_by_default=False)

    assert not source.count_nulls(["x"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id,x\n1,a\n2\n", r"line 3: got 1 value, expected 2"),
        ("id,x\n1,a,\n2,b,\n", r"line 2: got 3 values, expected 2"),
        ("id;x\n1;0,5\n", r"line 2: got 2 values, expected 1.*sep: ';'"),
    ],
)
def test_a_row_of_another_width_is_named(content: str, told: str, spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)

    with pytest.raises(SourceError, match=rf"\[INPUT_UNREADABLE\] input file '.*a\.csv', {told}"):
        read(spark, tmp_path / "a.csv")
