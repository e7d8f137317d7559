"""PyArrow and Spark divide the same CSV files into the same values, wherever PyArrow is used."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.functions import spark_partition_id
from pyspark.sql.types import StringType, StructField, StructType

from sparkscore.config import Input
from sparkscore.location import plain_path
from sparkscore.sources.csv_format import csv_format
from sparkscore.sources.csv_source import CsvSource
from sparkscore.survey.csv_bytes import check_and_read
from sparkscore.survey.csv_cut import NotCutError, can_cut, cut
from sparkscore.survey.csv_header import first_record

SIGNS = [
    "",
    "a",
    "\u00e9",
    " ",
    "  ",
    '"',
    '""',
    "\n",
    "\\",
    "'",
    "0",
    "-",
    "\t",
    ";",
    ",",
    "|",
    "#",
    "\u00a0",
    "\x1f",
    "\u2028",
]
FILES = 300


def written(draw: random.Random, sep: str, width: int) -> str:
    """Return rows as Python's writer writes them."""
    stream = io.StringIO(newline="")
    rows = [
        ["".join(draw.choices(SIGNS, k=draw.randint(0, 3))) for _ in range(width)] for _ in range(draw.randint(0, 4))
    ]
    quoting: Literal[0, 1] = draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    csv.writer(
        stream, delimiter=sep, quoting=quoting, lineterminator=draw.choice(["\n", "\n", "\r\n", "\r"])
    ).writerows(rows)
    return stream.getvalue()


def typed(draw: random.Random, sep: str, _: int) -> str:
    """Return rows as people type them: with odd quotes, line ends and blank lines."""
    odd = [*SIGNS, sep, sep, "\n", "\r\n", "\r", '"', "a", "b"]
    return "".join(draw.choices(odd, k=draw.randint(0, 14)))


def rows_of(path: Path, options: dict[str, str], width: int) -> list[tuple[str | None, ...]] | None:
    """Return the values that PyArrow finds in a file, or None if Spark must divide it."""
    found = csv_format(options)
    header = first_record(str(path), found.dialect)
    if not can_cut(found.dialect, width) or header is None or len(header) != width:
        return None
    rows: list[tuple[str | None, ...]] = []

    def read(blocks: Iterator[str]) -> bool:
        try:
            names = header if found.has_header else None
            for batch in cut(blocks, found.dialect, names, width, found.null_value):
                rows.extend(tuple(row.values()) for row in batch.to_pylist())
        except NotCutError:
            return False
        return True

    checked = check_and_read(str(path), found.dialect, read)
    return rows if checked.read and checked.fault is None else None


@pytest.mark.parametrize("width", [3, 1])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"header": "false"},
        {"nullValue": "a", "header": "false"},
        {"escape": "\\", "comment": "#"},
        {"sep": ";", "multiLine": "false"},
        {"sep": "\t", "header": "false"},
        {"sep": "|", "quote": "'", "multiLine": "false", "header": "false"},
        {"sep": "\x01", "encoding": "UTF-16"},
    ],
    ids=str,
)
def test_both_find_the_same_values(options: dict[str, str], width: int, spark: SparkSession, tmp_path: Path) -> None:
    draw, found = random.Random(f"{options} {width}"), csv_format(options)  # noqa: S311 - no secret
    sep = found.dialect.sep
    expected = {}
    for number in range(FILES):
        text = draw.choice(["", "", "\ufeff"]) + draw.choice([sep.join("xyz"[:width]) + "\n"] * 4 + ["\n\n"])
        path = tmp_path / f"{number:03}.csv"
        text += draw.choice([written, written, typed])(draw, sep, width).replace('"', found.dialect.quote)
        path.write_bytes(text.encode(found.dialect.encoding))
        rows = rows_of(path, options, width)
        if rows is None:
            path.unlink()
        else:
            expected[str(path)] = rows

    schema = StructType([StructField(name, StringType()) for name in "xyz"[:width]])
    frame = spark.read.format("csv").options(**found.options, enforceSchema="true").schema(schema).load(str(tmp_path))
    read: dict[str, list[tuple[str | None, ...]]] = {path: [] for path in expected}
    for file, *values in frame.select(frame["_metadata.file_path"], *"xyz"[:width]).collect():
        read[plain_path(file)].append(tuple(values))

    assert read == expected
    if not (found.dialect.reads_lines and width == 1):
        assert len([rows for rows in expected.values() if rows]) > FILES / 30


@pytest.mark.parametrize("width", [3, 1])
@pytest.mark.parametrize("options", [{}, {"header": "false", "sep": "\t"}, {"sep": ";", "nullValue": "a"}], ids=str)
def test_spark_finds_the_same_rows_line_by_line(
    options: dict[str, str], width: int, spark: SparkSession, tmp_path: Path
) -> None:
    draw, found = random.Random(f"{options} {width}"), csv_format(options)  # noqa: S311 - no secret
    sep = found.dialect.sep
    for number in range(FILES):
        text = draw.choice(["", "", "\ufeff"]) + draw.choice([sep.join("xyz"[:width]) + "\n"] * 4 + ["\n\n"])
        path = tmp_path / f"{number:03}.csv"
        path.write_bytes((text + draw.choice([written, typed])(draw, sep, width)).encode())
        checked = check_and_read(str(path), found.dialect, list)
        header = first_record(str(path), found.dialect)
        if checked.fault or not checked.has_lines or header is None or len(header) != width:
            path.unlink()

    schema = StructType([StructField(name, StringType()) for name in "xyz"[:width]])
    reader = spark.read.format("csv").options(**found.options, enforceSchema="true").option("mode", "PERMISSIVE")
    read = []
    for is_whole in ("true", "false"):
        frame = reader.option("multiLine", is_whole).schema(schema).load(str(tmp_path))
        rows = frame.select(frame["_metadata.file_path"], *"xyz"[:width]).collect()
        by_file: dict[str, list[tuple[str | None, ...]]] = {}
        for file, *values in rows:
            by_file.setdefault(file, []).append(tuple(values))
        read.append(by_file)

    assert read[0] == read[1]
    assert len(read[0]) > FILES / 30


@pytest.mark.parametrize(("value", "expected"), [("a", "split"), ('"a\nb"', "whole")])
@pytest.mark.parametrize("schema", [None, "id bigint, x string"])
def test_a_large_file_is_split_if_each_line_is_a_row(
    value: str, expected: str, schema: str | None, spark: SparkSession, tmp_path: Path
) -> None:
    count = 17 * 1024 * 1024 // 100
    filler = "f" * 90
    with (tmp_path / "a.csv").open("w") as file:
        file.write("id,x\n")
        file.writelines(f"{number},{filler}\n" for number in range(count))
        file.write(f"{count},{value}\n")

    source = CsvSource(spark, Input(format="csv", location=(str(tmp_path / "a.csv"),), schema=schema))
    source.check_contents()
    frame = source.frame()

    assert frame is not None
    tasks = frame.select("id", spark_partition_id().alias("task")).toPandas()
    assert sorted(tasks["id"]) == list(range(count + 1))
    assert ("split" if tasks["task"].nunique() > 1 else "whole") == expected
