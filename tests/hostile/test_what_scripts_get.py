"""Random tables, written by hand, by pandas and by Spark: a script gets the values that were written, in one dtype."""

from __future__ import annotations

import csv
import datetime as dt
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import sparkscore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Table = dict[str, list[Any]]
Write = Callable[["SparkSession", Table, Path], Mapping[str, Any]]

SCRIPT = """
import json

def shown(value):
    is_time = hasattr(value, "isoformat")
    return f"{type(value).__name__} {value.isoformat() if is_time and str(value) != 'NaT' else repr(value)}"

def run(frame):
    cells = zip(*(map(shown, frame[name].tolist()) for name in frame.columns))
    return [json.dumps(dict(zip(frame.columns, row))) for row in cells]
"""
ROWS = 9
# In the last row no value is missing, and none of its texts looks like a value of another kind.
LAST: dict[str, Any] = {
    "text": '7 €, "x"\n',
    "number": 7,
    "flag": True,
    "real": 0.5,
    "day": dt.date(2026, 3, 29),
    "local": dt.datetime.fromisoformat("2026-03-29 02:30:00.000001"),
    "moment": dt.datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=dt.UTC),
}
ARROW = {
    "text": pa.string(),
    "number": pa.int64(),
    "flag": pa.bool_(),
    "real": pa.float64(),
    "day": pa.date32(),
    "local": pa.timestamp("us"),
    "moment": pa.timestamp("us", "UTC"),
}
DDL = (
    "id bigint, text string, number bigint, flag boolean, real double, day date, local timestamp_ntz, moment timestamp"
)
# pandas counts nanoseconds from 1677 to 2262.
TIMES = st.datetimes(dt.datetime.fromisoformat("1700-01-01"), dt.datetime.fromisoformat("2200-01-01"))
TRAPS = ["", " ", "007", "12D", "10:30", "2024-01", "1e5", "true", "NULL", "NaN", '"', '""', "\\", '\\"', "a,b", "#"]
VALUES = {
    "text": st.sampled_from(TRAPS) | st.text(st.characters(codec="utf-8", exclude_characters="\r\0")),
    "number": st.integers(-(2**53), 2**53),
    "flag": st.booleans(),
    "real": st.floats(allow_nan=False, allow_infinity=False),
    "day": st.dates(),
    "local": TIMES,
    "moment": TIMES.map(lambda time: time.replace(tzinfo=dt.UTC)),
}


@st.composite
def tables(draw: st.DrawFn) -> Table:
    made: Table = {"id": list(range(ROWS))}
    for name, values in VALUES.items():
        cell = st.none() | values if draw(st.booleans()) else values
        made[name] = [*draw(st.lists(cell, min_size=ROWS - 1, max_size=ROWS - 1)), LAST[name]]
    return made


def parts_of(table: Table) -> list[Table]:
    """Cut a table in two, so that what is missing in one file need not be missing in the other."""
    return [{name: values[:4] for name, values in table.items()}, {name: values[4:] for name, values in table.items()}]


def rows_of(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def without(table: Table, *names: str) -> Table:
    return {name: values for name, values in table.items() if name not in names}


def spark_frame(spark: SparkSession, table: Table) -> Any:
    fields = [field for field in DDL.split(", ") if field.split()[0] in table]
    return spark.createDataFrame([tuple(row.values()) for row in rows_of(table)], ", ".join(fields))


def csv_by_hand(_: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    def written(value: Any) -> str:
        if isinstance(value, str):
            return '"' + value.replace('"', '""') + '"'
        return "" if value is None else value.isoformat() if hasattr(value, "isoformat") else repr(value)

    for number, part in enumerate(parts_of(table)):
        lines = [",".join(map(written, row.values())) for row in rows_of(part)]
        (folder / f"{number}.csv").write_text("\n".join([",".join(table), *lines, ""]), encoding="utf-8")
    return {"format": "csv"}


def csv_by_pandas(_: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    for number, part in enumerate(parts_of(table)):
        pd.DataFrame(part, dtype=object).to_csv(folder / f"{number}.csv", index=False, quoting=csv.QUOTE_MINIMAL)
    return {"format": "csv"}


def csv_by_spark(spark: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    options = {
        "header": True,
        "escape": '"',
        "ignoreLeadingWhiteSpace": False,
        "ignoreTrailingWhiteSpace": False,
        "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
        "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
    }
    for part in parts_of(table):
        spark_frame(spark, part).coalesce(1).write.options(**options).mode("append").csv(str(folder))
    return {"format": "csv"}


def json_by_hand(_: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    for number, part in enumerate(parts_of(table)):
        lines = [json.dumps(row, ensure_ascii=bool(number)) for row in rows_of(part)]
        (folder / f"{number}.json").write_text("\n".join(lines), encoding="utf-8")
    return {"format": "json"}


def json_by_pandas(_: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    for number, part in enumerate(parts_of(table)):
        pd.DataFrame(part, dtype=object).to_json(folder / f"{number}.json", orient="records", lines=True)
    return {"format": "json"}


def json_by_spark(spark: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    for part in parts_of(table):
        spark_frame(spark, part).coalesce(1).write.mode("append").json(str(folder))
    return {"format": "json"}


def parquet_by_hand(_: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    for number, part in enumerate(parts_of(table)):
        schema = pa.schema({"id": pa.int64()} | ARROW)
        pq.write_table(pa.table(part, schema=schema), folder / f"{number}.parquet")
    return {"format": "parquet"}


def parquet_by_pandas(_: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    """Write texts and days as objects, and times in nanoseconds, as pandas makes them."""
    for number, part in enumerate(parts_of(table)):
        frame = pd.DataFrame(part)
        frame["number"] = frame["number"].astype("Int64" if None in part["number"] else "int64")
        for name in ("local", "moment"):
            frame[name] = frame[name].astype("datetime64[ns, UTC]" if name == "moment" else "datetime64[ns]")
        frame.to_parquet(folder / f"{number}.parquet")
    return {"format": "parquet"}


def parquet_by_spark(spark: SparkSession, table: Table, folder: Path) -> Mapping[str, Any]:
    for part in parts_of(table):
        spark_frame(spark, part).coalesce(1).write.mode("append").parquet(str(folder))
    return {"format": "parquet"}


def expected(name: str, values: list[Any]) -> list[str]:
    """Say what a script gets: whole numbers beside NULL are doubles, flags beside it objects."""
    missing = {"number": "float nan", "real": "float nan", "local": "NaTType NaT", "moment": "NaTType NaT"}
    is_double = name == "number" and None in values
    shown = []
    for value in values:
        if value is None:
            shown.append(missing.get(name, "NoneType None"))
        elif isinstance(value, dt.datetime):
            shown.append(f"Timestamp {value.isoformat()}")
        elif isinstance(value, dt.date):
            shown.append(f"date {value.isoformat()}")
        else:
            given_ = float(value) if is_double else value
            shown.append(f"{type(given_).__name__} {given_!r}")
    return shown


def no_empty_texts(table: Table) -> Table:
    """Take empty texts for missing ones, as every reader of CSV does, in quotes or not."""
    return table | {"text": [each or None for each in table["text"]]}


# What pandas writes to JSON has not all digits.
TIMES_OF_DAY = ("day", "local", "moment")
WRITERS: dict[str, tuple[Write, Callable[[Table], Table]]] = {
    "csv by hand": (csv_by_hand, no_empty_texts),
    "csv by pandas": (csv_by_pandas, no_empty_texts),
    "csv by Spark": (csv_by_spark, no_empty_texts),
    "json by hand": (json_by_hand, lambda table: without(table, *TIMES_OF_DAY)),
    "json by pandas": (json_by_pandas, lambda table: without(table, *TIMES_OF_DAY, "real")),
    "json by Spark": (json_by_spark, lambda table: without(table, *TIMES_OF_DAY)),
    "parquet by hand": (parquet_by_hand, lambda table: table),
    "parquet by pandas": (parquet_by_pandas, lambda table: table),
    "parquet by Spark": (parquet_by_spark, lambda table: table),
}


@pytest.fixture
def what_a_script_gets(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path]
) -> Callable[..., Table]:
    numbers = iter(range(10_000))

    def score(write: Write, table: Table, declared: str | None) -> Table:
        number = next(numbers)
        folder, output = tmp_path / f"input-{number}", tmp_path / f"output-{number}"
        folder.mkdir()
        how = {**write(spark, table, folder), "location": str(folder)}
        deployment = make_deployment(
            SCRIPT,
            f"deployment-{number}",
            input=how if declared is None else {**how, "schema": declared},
            output={"location": str(output), "carry": []},
            settings={"mini_batch_size": 3},
            isolation="none",
        )
        sparkscore.score(spark, deployment)
        rows = [json.loads(row) for row in DeltaTable(output).to_pyarrow_table()["prediction"].to_pylist()]
        shutil.rmtree(folder)
        shutil.rmtree(output)
        rows.sort(key=lambda row: int(row["id"].removeprefix("int ")))
        return {name: [row[name] for row in rows] for name in table}

    return score


@pytest.mark.parametrize("is_declared", [False, True], ids=["inferred", "declared"])
@pytest.mark.parametrize("name", WRITERS)
@settings(
    max_examples=3,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(table=tables())
def test_a_script_gets_what_was_written(
    what_a_script_gets: Callable[..., Table], name: str, table: Table, *, is_declared: bool
) -> None:
    write, kept_by = WRITERS[name]
    written = kept_by(table)
    fields = [field for field in DDL.split(", ") if field.split()[0] in written]

    found = what_a_script_gets(write, written, ", ".join(fields) if is_declared else None)

    assert found == {column: expected(column, values) for column, values in written.items()}
