"""Values of CSV files, as written by hand, by pandas and by Spark, against Python's own readers."""

from __future__ import annotations

import csv
import gzip
import random
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from sparkscore.config import Input
from sparkscore.errors import SourceError, SourceSchemaError
from sparkscore.sources import Source, open_source

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def opened(spark: SparkSession, location: Path, **more: object) -> Source:
    config = Input.model_validate({"location": [str(location)], "format": "csv", **more})
    source = open_source(spark, config, is_files_by_default=False)
    source.check_contents()
    return source


def read(spark: SparkSession, location: Path, **more: object) -> pa.Table:
    frame = opened(spark, location, **more).frame()
    assert frame is not None
    return frame.toArrow().drop_columns([name for name in frame.columns if name.startswith("__sparkscore")])


def a_double(rng: random.Random) -> str:
    while True:
        value = struct.unpack("d", rng.randbytes(8))[0]
        if np.isfinite(value):
            return repr(value)


def a_moment(rng: random.Random) -> datetime:
    return datetime(1, 1, 2) + timedelta(microseconds=rng.randrange(315537000000000000))  # noqa: DTZ001


def with_offset(rng: random.Random) -> str:
    offset = timezone(timedelta(minutes=rng.randrange(-14 * 60, 14 * 60 + 1)))
    return a_moment(rng).replace(tzinfo=offset).isoformat(rng.choice("T "), rng.choice(["seconds", "microseconds"]))


QUOTING = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)
Make = Callable[[random.Random], str]
# How a text is made, and how Python reads it.
KINDS: dict[str, tuple[Make, Callable[[str], Any]]] = {
    "bigint": (lambda rng: str(rng.randrange(-(2**63), 2**63) >> rng.randrange(64)), int),
    "double": (a_double, float),
    "double2": (lambda rng: f"{rng.randrange(-(10**9), 10**9) / 100:.2f}", float),
    "boolean": (lambda rng: rng.choice(["true", "True", "FALSE"]), lambda text: text.lower() == "true"),
    "date": (lambda rng: str(a_moment(rng).date()), date.fromisoformat),
    "timestamp_ntz": (lambda rng: a_moment(rng).isoformat(rng.choice("T "), "microseconds"), datetime.fromisoformat),
    "timestamp_ntz2": (lambda rng: a_moment(rng).isoformat(" ", "minutes"), datetime.fromisoformat),
    "timestamp": (with_offset, datetime.fromisoformat),
    "string": (lambda rng: "".join(rng.choices('ab",\\ é€\n1.', k=rng.randrange(1, 9))), str),
    "string2": (lambda rng: f"{rng.randrange(10**6):07}", str),
    "string3": (lambda rng: f"{rng.randrange(100)}{rng.choice('DEF')}{rng.randrange(9)}", str),
}


def test_types_and_values_are_those_that_pythons_readers_give(spark: SparkSession, tmp_path: Path) -> None:
    rng = random.Random(13)  # noqa: S311 - no secret
    rows = [{name: make(rng) if rng.random() < 0.9 else "" for name, (make, _) in KINDS.items()} for _ in range(3000)]
    (tmp_path / "in").mkdir()
    for number in range(3):
        with (tmp_path / "in" / f"{number}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(KINDS), lineterminator="\n", quoting=QUOTING[number])  # type: ignore[arg-type]
            writer.writeheader()
            writer.writerows(rows[number::3])

    source = opened(spark, tmp_path / "in")
    frame = source.frame()

    assert frame is not None
    kinds = {field.name: field.dataType.simpleString() for field in frame.schema}
    assert {name: kinds[name] for name in KINDS} == {name: name.rstrip("23") for name in KINDS}
    found = frame.toArrow()
    assert source.count_nulls(list(KINDS)) == {name: sum(not row[name] for row in rows) for name in KINDS}
    expected = sorted(
        (tuple(KINDS[name][1](row[name]) if row[name] else None for name in KINDS) for row in rows), key=repr
    )
    values = [tuple(plain(value) for value in row.values()) for row in found.select(list(KINDS)).to_pylist()]
    assert sorted(values, key=repr) == sorted((tuple(map(plain, row)) for row in expected), key=repr)


def plain(value: Any) -> Any:
    if isinstance(value, Decimal) and value.as_tuple().exponent == -2:
        return int(value * 100)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - EPOCH) // timedelta(microseconds=1)
    return value


INF = float("inf")
# Decimals are given in hundredths.
SPELLED: dict[str, dict[str, Any]] = {
    "bigint": {"007": 7, "+7": 7, "7.00": 7, " 7": 7, "-9223372036854775808": -(2**63)},
    "smallint": {"-32768": -32768, "5.": 5},
    "double": {"5": 5.0, ".5": 0.5, "12E4": 120000.0, "-0": -0.0, "1e-320": 1e-320, "Infinity": INF, "-inf": -INF},
    "float": {"0.1": float(np.float32(0.1)), "16777216": 16777216.0},
    "decimal(10,2)": {"19.9": 1990, "007": 700, "1.5E2": 15000, "19.990": 1999, "-.5": -50},
    "decimal(38,18)": {"12345678901234567890.123456789012345678": Decimal("12345678901234567890.123456789012345678")},
    "boolean": {"tRue": True, "FALSE": False},
    "date": {"2024-02-29": date(2024, 2, 29), "2024-1-5": date(2024, 1, 5), "0001-01-01": date(1, 1, 1)},
    "timestamp_ntz": {
        "2024-02-29": datetime(2024, 2, 29),  # noqa: DTZ001
        "2024-02-29 1:30": datetime(2024, 2, 29, 1, 30),  # noqa: DTZ001
        "2024-02-29T10:30:00.123456000": datetime(2024, 2, 29, 10, 30, 0, 123456),  # noqa: DTZ001
    },
    "timestamp": {
        "2024-07-01": datetime(2024, 6, 30, 22, tzinfo=UTC),
        "2024-01-05 10:30": datetime(2024, 1, 5, 9, 30, tzinfo=UTC),
        "2024-01-05 10:30:00.5-05": datetime(2024, 1, 5, 15, 30, 0, 500000, tzinfo=UTC),
        "2024-01-05T10:30:00.1234560Z": datetime(2024, 1, 5, 10, 30, 0, 123456, tzinfo=UTC),
        "2024-01-05 10:30:00 UTC": datetime(2024, 1, 5, 10, 30, tzinfo=UTC),
        "2024-01-05 10:30+0530": datetime(2024, 1, 5, 5, 0, tzinfo=UTC),
    },
    "string": {"007": "007", "12D": "12D"},
    "binary": {"007": b"007"},
    "varchar(3)": {"007": "007"},
}  # fmt: skip


def test_declared_types_hold_values_however_they_are_spelled(spark: SparkSession, tmp_path: Path) -> None:
    height = max(map(len, SPELLED.values()))
    columns = {f"c{place}": [*texts, *[""] * (height - len(texts))] for place, texts in enumerate(SPELLED.values())}
    pd.DataFrame(columns).to_csv(tmp_path / "in.csv", index=False)
    # In another order than in the file.
    ddl = ", ".join(f"c{place} {kind}" for place, kind in reversed(list(enumerate(SPELLED))))

    found = read(spark, tmp_path / "in.csv", schema=ddl, options={"timeZone": "Europe/Berlin"})

    assert found.column_names == list(reversed(columns))
    for place, texts in enumerate(SPELLED.values()):
        values = [plain(value) for value in found[f"c{place}"].to_pylist()]
        assert [repr(value) for value in values[: len(texts)]] == [repr(plain(value)) for value in texts.values()]
        assert values[len(texts) :] == [None] * (height - len(texts))


REFUSED = {
    "bigint": "7.5",
    "smallint": "32768",
    "double": "9007199254740993",
    "decimal(10,2)": "19.995",
    "boolean": "1",
    "date": "2024-01-31 10:30",
    "timestamp_ntz": "2024-01-31 10:30:00.123456789",
}


@pytest.mark.parametrize(("kind", "text"), REFUSED.items())
def test_a_declared_type_that_would_change_a_value_is_refused(
    kind: str, text: str, spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("id,x\n1,\n")
    (tmp_path / "in" / "b.csv").write_text(f"id,x\n1,{text}\n")

    with pytest.raises(SourceError, match=r"\[INPUT_VALUE\] column 'x' of input file '.*b\.csv'") as caught:
        opened(spark, tmp_path / "in", schema=f"id int, x {kind}")

    assert kind in str(caught.value)
    assert text == "1" or text not in str(caught.value).replace("2024-01-31 10:30:00.123456,", "")


def test_what_pandas_and_spark_write_is_what_is_read(spark: SparkSession, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "whole": [1, -5, 2**62],
            "part": [0.1, None, 1e-7],
            "flag": [True, False, True],
            "at": pd.to_datetime(["2024-01-31 10:30", "2024-02-01", "2024-02-02 00:00:00.5"], format="ISO8601"),
            "text": ['say "hi"', "two\nlines", "007"],
        }
    )
    frame.to_csv(tmp_path / "pandas.csv")
    of_pandas = read(spark, tmp_path / "pandas.csv").to_pandas()
    of_pandas["at"] = of_pandas["at"].astype("datetime64[ns]")
    pd.testing.assert_frame_equal(of_pandas.drop(columns="_c0"), frame)

    table = pa.table({"x": [1.0e10, -0.5, None], "at": [EPOCH, None, EPOCH], "text": ['a "b"', "C:\\", "c,d"]})
    spark.createDataFrame(table).coalesce(1).write.csv(str(tmp_path / "spark"), header=True)
    with pytest.raises(SourceError, match=r"\[INPUT_QUOTES\].*escape: '\\'"):
        opened(spark, tmp_path / "spark")
    found = read(spark, tmp_path / "spark", options={"escape": "\\"})
    assert found.to_pydict() == table.to_pydict()


@pytest.mark.parametrize(
    ("options", "content", "expected"),
    [
        ({"sep": ";"}, b"id;x\n1;0,5\n", {"id": [1], "x": ["0,5"]}),
        ({"sep": "\\t"}, b"id\tx\n1\t2\n", {"id": [1], "x": [2]}),
        ({"nullValue": "NA"}, b"id,x\nNA,1.5\n2,\n", {"id": [None, 2], "x": [1.5, None]}),
        ({"nullValue": "\\N"}, b"id,x\n\\N,1.5\n", {"id": [None], "x": [1.5]}),
        ({"quote": "'"}, b"id,x\n1,'it''s, here'\n", {"id": [1], "x": ["it's, here"]}),
        ({"comment": "#"}, b'# of "today\nid\n1\n#2\n3\n', {"id": [1, 3]}),
        ({"header": "false"}, b"1,a\n2,b\n", {"_c0": [1, 2], "_c1": ["a", "b"]}),
        ({"inferSchema": "false"}, b"id,x\n1,a\n", {"id": ["1"], "x": ["a"]}),
        ({"encoding": "latin-1"}, "id,näme\n1,Grüße\n".encode("latin-1"), {"id": [1], "näme": ["Grüße"]}),
        ({"encoding": "UTF-16"}, 'id,n\n1,"€\n"\n'.encode("utf-16"), {"id": [1], "n": ["€\n"]}),
        ({"encoding": "utf-16-le"}, "id,n\n1,€\n".encode("utf-16-le"), {"id": [1], "n": ["€"]}),
        ({"multiLine": "false"}, b'id,x\r\n1,5" pipe\r\n2,"a ""b"""\r\n', {"id": [1, 2], "x": ['5" pipe', 'a "b"']}),
        ({"ignoreLeadingWhiteSpace": "true"}, b"id, x\n1, 2\n3, 4\n", {"id": [1, 3], "x": [2, 4]}),
        ({}, b"\xef\xbb\xbfid,x\r\n1,2\r\n", {"id": [1], "x": [2]}),
        ({}, b'\xef\xbb\xbf"id","x"\n1,2\n', {"id": [1], "x": [2]}),
        ({"multiLine": "false"}, b"\xef\xbb\xbfid,x\n1,2\n", {"id": [1], "x": [2]}),
        ({"header": "false"}, b"\xef\xbb\xbf1,2\n", {"_c0": [1], "_c1": [2]}),
        ({}, b"id,x,,\n1,2,,\n", {"id": [1], "x": [2]}),
        ({}, b",id,\n0,1,7\n", {"_c0": [0], "id": [1], "_c2": [7]}),
        ({}, b'id,x\n1,""\n2,\n', {"id": [1, 2], "x": [None, None]}),
        ({}, b'id,x\n1,"007"\n2,"7"\n', {"id": [1, 2], "x": ["007", "7"]}),
        ({}, b'id,x\n"1", 7\n', {"id": [1], "x": [" 7"]}),
        ({}, b'id,x\n1,5" pipe\n2,"C:\\temp\\"\n', {"id": [1, 2], "x": ['5" pipe', "C:\\temp\\"]}),
        ({}, b'a.b,"c ""d"", e",`f`\n1,2,3\n', {"a.b": [1], 'c "d", e': [2], "`f`": [3]}),
        ({}, b"id\n\n1\n\n2\n", {"id": [1, 2]}),
        ({}, b"id,x\n", {"id": [], "x": []}),
        ({}, b'id,x\r\n1,"two\nlines"\r\n', {"id": [1], "x": ["two\nlines"]}),
    ],
)  # fmt: skip
def test_what_is_written_in_another_way_is_read(
    options: dict[str, str], content: bytes, expected: dict[str, Any], spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(content))

    assert read(spark, tmp_path / "in.csv", options=options).to_pydict() == expected
    if "bytes" in options or not options:
        assert read(spark, tmp_path / "in.csv.gz", options=options).to_pydict() == expected


def test_files_that_differ_are_read_together(spark: SparkSession, tmp_path: Path) -> None:
    for number, texts in enumerate(["1,0.5,", "2,7,x", "3,,"]):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.csv").write_text(f"id,x,y\n{texts}\n")

    found = read(spark, tmp_path / "in").sort_by("id")

    assert found.to_pydict() == {"id": [1, 2, 3], "x": [0.5, 7.0, None], "y": [None, "x", None]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("id,name\n1,Müller\n".encode("cp1252"), r"\[INPUT_ENCODING\].*in\.csv.*byte 12 \(line 2\)"),
        (b"id,x,x\n1,2,3\n", r"\[INPUT_COLUMN_NAMES\].*'x'"),
        (b"id,x\n1,2,3\n", r"\[INPUT_UNREADABLE\].*in\.csv"),
        (b"id,x\n1\n", r"\[INPUT_UNREADABLE\].*in\.csv"),
        (b"id\n1\n2\r\n", r"\[INPUT_LINE_ENDS\].*in\.csv"),
        (b'id,x\n1,"say \\"hi\\""\n', r"\[INPUT_QUOTES\].*in\.csv.*escape: '\\'"),
        (b'id,x\n1,"a\n2,b\n', r"\[INPUT_OPEN_QUOTE\].*in\.csv"),
    ],
)  # fmt: skip
def test_what_would_be_misread_is_refused_with_the_file(
    content: bytes, told: str, spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(content)

    with pytest.raises(SourceError, match=told):
        opened(spark, tmp_path / "in.csv")


def test_forms_of_the_user_are_read_as_declared(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("day,at,x\n31.01.2024,1/2/2024 10:30,-\n")

    found = read(
        spark,
        tmp_path / "in.csv",
        schema="day date, at timestamp_ntz, x double",
        options={"dateFormat": "dd.MM.yyyy", "timestampNTZFormat": "d/M/yyyy HH:mm", "nanValue": "-"},
    )

    assert found["day"].to_pylist() == [date(2024, 1, 31)]
    assert found["at"].to_pylist() == [datetime(2024, 2, 1, 10, 30)]  # noqa: DTZ001
    assert np.isnan(found["x"][0].as_py())


def test_keys_of_folders_are_texts_unless_they_are_declared(spark: SparkSession, tmp_path: Path) -> None:
    for key in ("007", "8"):
        (tmp_path / "in" / f"day={key}").mkdir(parents=True)
        (tmp_path / "in" / f"day={key}" / "a.csv").write_text("id,x\n1,2\n")

    assert set(read(spark, tmp_path / "in")["day"].to_pylist()) == {"007", "8"}
    found = read(spark, tmp_path / "in", schema="day int, x string")
    assert (found.column_names, set(found["day"].to_pylist())) == (["day", "x"], {7, 8})


def test_an_empty_value_in_a_column_without_null_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,x\n1,2\n2,\n")

    with pytest.raises(SourceSchemaError, match=r"\[INPUT_NULL\].*'x'.*1 empty"):
        opened(spark, tmp_path / "in.csv", schema="id int, x int NOT NULL")


def test_large_inputs_are_looked_at_by_workers(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparkscore.sources.csv_survey._LEAST_BYTES", 0)
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / "in" / f"{number}.csv").write_text("id,x\n1,2\n")

    assert read(spark, tmp_path / "in").num_rows == 5
    (tmp_path / "in" / "3.csv").write_bytes(b"id,x\n1,\xff\n")
    with pytest.raises(SourceError, match=r"\[INPUT_ENCODING\].*3\.csv"):
        opened(spark, tmp_path / "in")
    (tmp_path / "in" / "3.csv").write_bytes(b"x,id\n1,2\n")
    with pytest.raises(SourceSchemaError, match=r"\[INPUT_HEADERS\].*3\.csv.*another order"):
        opened(spark, tmp_path / "in")
