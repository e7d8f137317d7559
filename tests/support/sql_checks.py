"""Use SQL functions in a session, classic or Spark Connect, of any version of Spark, and tell what came out.

python -m tests.support.sql_checks FOLDER does all of it in a session of Spark Connect, with a server of its own, and
writes a JSON file.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

import sparkscore
from tests.support.ledger import read_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGE: Final = Path(__file__).parents[2] / "docs" / "sql.md"
ROWS: Final = 2000
#: The table in the documentation: queries, and how many rows the model scores.
HEADER: Final = "| query | rows | with `deterministic: false` |"
DETERMINISTIC, CHANGING = "rows", "with `deterministic: false`"
_HEART: Final = """
    def run(frame):
        if (frame["age"] < 0).any():
            raise ValueError("age is negative")
        return (frame["age"] * 2 + frame["bmi"]).tolist()
"""
_DECLARED: Final[dict[str, Any]] = {
    "input": {"schema": "age double COMMENT 'in years', bmi double"},
    "output": {"schema": "risk double"},
    "sql": {"arguments": {"bmi": {"comment": "kg/m2", "default": 25.0}}},
}
_COUNTED: Final = """
    import os

    def run(frame):
        file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{len(frame)}\\n".encode())
        os.close(file)
        return (frame["x"] * 2).tolist()
"""
_SPREAD: Final = """
    def run(frame):
        if (frame["id"] < 0).any():
            raise ValueError("id is negative")
        again = frame.loc[frame.index.repeat(frame["n"].astype(int))].astype("int64")
        return again.assign(k=again.groupby("id").cumcount().astype("int32"))[["id", "k"]]
"""
_SUM: Final = """
    import pandas

    def run(frame):
        assert frame["n"].nunique() == 1
        total, n = int(frame["id"].sum()), int(frame["n"].iloc[0])
        return pandas.DataFrame({"n": [n], "total": [total], "of": [len(frame)]}).astype({"n": "int32", "of": "int32"})
"""
_ECHO: Final = """
    def run(frame):
        return frame
"""
#: Columns that Spark 4.0 passes, and columns that only later versions pass.
FIRST: Final = (
    "id bigint, n bigint, i int, d double, r float, t string, day date, m decimal(38,9), b binary, yes boolean"
)
LATER: Final = f"{FIRST}, at timestamp, local timestamp_ntz, many array<bigint>"
_VALUES: Final[Mapping[str, tuple[pa.DataType, list[Any]]]] = {
    "n": (pa.int64(), [0, 1, -1, 2**53 - 1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1]),
    "i": (pa.int32(), [0, 7, -(2**31), 2**31 - 1]),
    "d": (pa.float64(), [0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf")]),
    "r": (pa.float32(), [0.5, -0.0, 3.4028234663852886e38, float("nan"), float("-inf"), 2.0**24]),
    "t": (pa.string(), ["", "NULL", "naïve \U0001f4a9\n'\"\\\t", "x "]),
    "day": (pa.date32(), [dt.date(1, 1, 1), dt.date(1582, 10, 10), dt.date(9999, 12, 31), dt.date(2026, 3, 8)]),
    "m": (pa.decimal128(38, 9), [Decimal("9" * 29 + "." + "9" * 9), Decimal("-0.000000001"), Decimal("0.000000000")]),
    "b": (pa.binary(), [b"", bytes(range(256)), b"\0"]),
    "yes": (pa.bool_(), [True, False]),
    "at": (
        pa.timestamp("us", "UTC"),
        [dt.datetime(1, 1, 3, tzinfo=dt.UTC), dt.datetime(2026, 11, 1, 5, 30, tzinfo=dt.UTC)],
    ),
    "local": (pa.timestamp("us"), [dt.datetime(1, 1, 3), dt.datetime(2026, 3, 8, 2, 30, 0, 1)]),  # noqa: DTZ001
    "many": (pa.list_(pa.int64()), [[], [1, None, 2**63 - 1], [0]]),
}
#: Calls that are wrong, and what the error of each query says.
WRONG_CALLS: Final = {
    "sql_heart(ag => 1)": "got an argument 'ag', expected the arguments age, bmi",
    "sql_heart(1, 2, 3)": "got 3 arguments, expected the arguments age, bmi",
    "sql_heart('7', 3)": "argument 'age' of function 'sql_heart': got string, expected double",
}


def deployment(folder: Path, name: str, script: str, **sections: Any) -> Path:
    """Write a deployment with a scoring script, and return its path."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "score.py").write_text(textwrap.dedent(script), encoding="utf-8")
    code = {"code_configuration": {"code": ".", "scoring_script": "score.py"}}
    (place / "deployment.yml").write_text(json.dumps({"name": name, **code, **sections}), encoding="utf-8")
    return place / "deployment.yml"


def is_pandas(spark: SparkSession) -> bool:
    """Return whether this version of Spark passes arguments through pandas."""
    return spark.version.startswith("4.0.")


def calls(spark: SparkSession, folder: Path, wrong: Iterable[str] = tuple(WRONG_CALLS)) -> dict[str, Any]:
    """Return the results of right calls, the description, and the messages of wrong calls."""
    sparkscore.register_function(spark, "sql_heart", deployment(folder, "sql_heart", _HEART, **_DECLARED))
    right = spark.sql(
        "SELECT sql_heart(63, 22.5).risk, sql_heart(BMI => 1, age => 3).risk, sql_heart(age => 4D).risk, "
        "sql_heart_struct(struct('x' AS other, 1.5D AS bmi, CAST(2 AS TINYINT) AS AGE)).risk, sql_heart(-1).error"
    ).collect()
    ((text,),) = spark.sql("SELECT sql_heart_describe()").collect()
    return {"right": list(right[0]), "described": text, "wrong": {call: refusal(spark, call) for call in wrong}}


def refusal(spark: SparkSession, call: str) -> str:
    """Return the message of the error that stops a query with this call."""
    try:
        spark.sql(f"SELECT {call}").collect()
    except Exception as error:  # noqa: BLE001 - the user sees what Spark makes of it
        return str(error)
    return "it was not refused"


def make_rows(count: int = 10_000) -> pa.Table:
    """Return rows with every type of argument. A seventh of the values are NULL, and half are extremes."""
    dice = random.Random(7)  # noqa: S311 - the same rows each time
    columns: dict[str, pa.Array] = {"id": pa.array(range(count), pa.int64())}
    for name, (type_, values) in _VALUES.items():
        columns[name] = pa.array([None if dice.random() < 1 / 7 else dice.choice(values) for _ in range(count)], type_)
    return pa.table(columns)


def differences(spark: SparkSession, folder: Path) -> dict[str, Any]:
    """Score 10,000 rows of every type with a job, a function and a table function, and count the values that differ.

    Spark 4.0 passes NaN as NULL, so NaN counts as NULL there. The rows that the function refuses are counted apart.
    Spark 4.0 has no table functions.
    """
    ddl = FIRST if is_pandas(spark) else LATER
    names = [each.partition(" ")[0] for each in re.sub(r"\(.*?\)", "", ddl).split(", ")]
    given = make_rows().select(names)
    (folder / "rows").mkdir()
    pq.write_table(given, folder / "rows" / "part.parquet")
    path = echo(folder, ddl)
    out = folder / "out"
    sparkscore.score(spark, path, input=str(folder / "rows"), output=str(out), output_format="parquet")
    sparkscore.register_function(spark, "sql_echo", path)
    spark.read.parquet(str(folder / "rows")).createOrReplaceTempView("sql_rows")
    query = f"SELECT id AS key, p.* FROM (SELECT id, sql_echo({', '.join(names)}) AS p FROM sql_rows)"  # noqa: S608
    found = spark.sql(query).toArrow().sort_by("key")
    job = read_table(out).select(names).sort_by("id")
    whole = job if is_pandas(spark) else spark.sql("SELECT * FROM sql_echo_table(TABLE(sql_rows))").toArrow()
    refused = [error for error in found["error"].to_pylist() if error is not None]
    kept = found.filter(pa.compute.is_null(found["error"]))
    expected = job.filter(pa.compute.is_null(found["error"].combine_chunks()))
    large = [key for key, *values in zip(*(given[name].to_pylist() for name in ("id", "n", "d")), strict=True)
             if any(value is not None and 2**53 <= abs(value) < float("inf") for value in values)]  # fmt: skip
    return {
        "rows": found.num_rows,
        "refused": len(refused),
        "refusals": sorted(set(refused)),
        "large": len(large),
        "different": {name: _unequal(kept[name], expected[name], nan=not is_pandas(spark)) for name in names},
        "different_in_table": {name: _unequal(whole.sort_by("id")[name], job[name]) for name in names},
        "types": {name: str(found[name].type) for name in names if _kind(found[name]) != _kind(job[name])},
    }


def echo(folder: Path, ddl: str) -> Path:
    """Write a deployment that returns its columns, and return its path."""
    sections = {"input": {"dtypes": "arrow", "schema": ddl}, "output": {"schema": ddl, "carry": []}}
    return deployment(folder, "sql_echo", _ECHO, **sections)


def _kind(column: pa.ChunkedArray) -> str:
    return str(column.type).replace("large_", "").replace("UTC", "Etc/UTC").replace("Etc/Etc", "Etc")


def differences_in_json(lines: Iterable[str], folder: Path, *, nan: bool) -> dict[str, int]:
    """Count the values that differ between the rows of `sparkscore sql --format json` and the job of `differences`.

    Args:
        lines: what the command printed for all fields of the function's struct.
        folder: the folder that `differences` used.
        nan: whether NaN is told from NULL.
    """
    rows = {row["id"]: row for row in map(json.loads, lines) if row.pop("error") is None}
    job = read_table(folder / "out")
    job = job.filter(pa.compute.is_in(job["id"], pa.array(rows))).sort_by("id")
    different = {}
    for name in (each for each in make_rows().column_names if each in job.column_names):
        type_ = job[name].type
        found = pa.chunked_array([[_read(type_, rows[id_][name]) for id_ in sorted(rows)]], type_)
        different[name] = _unequal(found, job[name], nan=nan)
    return different


def _read(type_: pa.DataType, value: Any) -> Any:
    """Return the value that a value of JSON stands for, by the table in the documentation."""
    readers: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], Any]], ...] = (
        (pa.types.is_decimal, Decimal),
        (pa.types.is_binary, base64.b64decode),
        (pa.types.is_date, dt.date.fromisoformat),
        (pa.types.is_timestamp, dt.datetime.fromisoformat),
        (pa.types.is_floating, float),
    )
    return value if value is None else next((read for is_of, read in readers if is_of(type_)), lambda it: it)(value)


def _unequal(found: pa.ChunkedArray, expected: pa.ChunkedArray, *, nan: bool = True) -> int:
    def text(value: object) -> str:
        return repr(None) if not nan and value != value else repr(value)  # noqa: PLR0124 - NaN

    pairs = zip(found.to_pylist(), expected.to_pylist(), strict=True)
    return sum(text(got) != text(wanted) for got, wanted in pairs)


def queries() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each query of the table in the documentation, with what the table says, by the heading of its column."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"{HEADER}\n")
    headings = [each.strip() for each in HEADER.strip("| ").split("|")]
    for line in rest.splitlines()[1:]:
        if not line.startswith("|"):
            return
        query, *cells = (each.strip() for each in line.strip("|").split("|"))
        yield query.strip("`"), dict(zip(headings[1:], cells, strict=True))


def write_counts(heading: str, counts: Mapping[str, str]) -> None:
    """Write the numbers of rows into a column of the table in the documentation."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for query, cells in list(queries()):
        number = next(number for number, line in enumerate(lines) if line.startswith(f"| `{query}` |"))
        lines[number] = f"| `{query}` | {' | '.join({**cells, heading: counts[query]}.values())} |"
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def counts(spark: SparkSession, folder: Path, *, is_deterministic: bool = True) -> dict[str, str]:
    """Return the number of rows that the model scores for each query of the page, or why Spark refuses the query.

    The queries use a function ``f`` and a table ``t(id, x)`` with 2,000 rows in two partitions.
    """
    notes = folder / "notes"
    keys: dict[str, Any] = {
        "input": {"schema": "x double"},
        "output": {"schema": "risk double"},
        "environment_variables": {"NOTES": str(notes)},
        "sql": {"deterministic": is_deterministic},
    }
    sparkscore.register_function(spark, "f", deployment(folder, "sql_counted", _COUNTED, **keys))
    for number in range(2):
        half = range(number * ROWS // 2, (number + 1) * ROWS // 2)
        (folder / "t").mkdir(exist_ok=True)
        pq.write_table(pa.table({"id": half, "x": list(map(float, half))}), folder / "t" / f"{number}.parquet")
    spark.read.parquet(str(folder / "t")).createOrReplaceTempView("t")
    found = {}
    for query, _ in queries():
        notes.write_text("")
        try:
            spark.sql(query).collect()
        except Exception as error:  # noqa: BLE001 - what the user sees
            found[query] = f"refused: {_condition(str(error))}"
            continue
        finally:
            spark.sql("DROP TABLE IF EXISTS risks")
        found[query] = f"{sum(map(int, notes.read_text().split())):,}"
    return found


def _condition(text: str) -> str:
    found = re.search(r"\[([A-Z_]+)", text)
    return f"`{found[1]}`" if found else text[:100]


def tables(spark: SparkSession, folder: Path) -> dict[str, Any]:
    """Return what table functions gave: the rows of a script and of a job, a mini-batch that failed, a row per key."""
    keys = {"input": {"schema": "id bigint, n int"}, "output": {"schema": "id bigint, k int", "carry": []}}
    path = deployment(folder, "sql_spread", _SPREAD, **keys)
    (folder / "spread").mkdir()
    given = pa.table({"id": range(500), "n": pa.array([number % 4 for number in range(500)], pa.int32())})
    pq.write_table(given, folder / "spread" / "part.parquet")
    spark.read.parquet(str(folder / "spread")).createOrReplaceTempView("sql_spread_rows")
    out = folder / "spread_out"
    sparkscore.score(spark, path, input=str(folder / "spread"), output=str(out), output_format="parquet")
    sparkscore.register_function(spark, "sql_spread", path)
    whole = {"settings": {"mini_batch_size": 10_000}, "output": {"schema": "n int, total bigint, of int"}}
    sparkscore.register_function(spark, "sql_sum", deployment(folder, "sql_sum", _SUM, **{**keys, **whole}))
    found = spark.sql("SELECT id, k, error FROM sql_spread_table(TABLE(sql_spread_rows))").collect()
    failed = "TABLE(SELECT id - 1 AS id, n FROM sql_spread_rows WHERE id < 9)"
    errors = spark.sql(f"SELECT * FROM sql_spread_table({failed})").collect()  # noqa: S608 - of this test
    sums = spark.sql("SELECT * FROM sql_sum_table(TABLE(sql_spread_rows) PARTITION BY n)").collect()
    job = read_table(out)
    return {
        "found": sorted([row.id, row.k] for row in found),
        "errors": [list(row) for row in errors],
        "job": sorted(map(list, zip(job["id"].to_pylist(), job["k"].to_pylist(), strict=True))),
        "sums": sorted(list(row) for row in sums),
    }


def check_tables(found: Mapping[str, Any]) -> None:
    """Raise an error if the results of `tables` are wrong."""
    assert found["found"] == found["job"]
    assert len(found["found"]) == sum(number % 4 for number in range(500))
    assert found["errors"] == [[None, None, "ValueError: id is negative (rows: 9)", None]]
    sums = [[n, sum(range(n, 500, 4)), 125, None, None] for n in range(4)]
    assert found["sums"] == sums


def check_calls(found: Mapping[str, Any]) -> None:
    """Raise an error if the results of `calls` are wrong."""
    assert found["right"] == [148.5, 7.0, 33.0, 5.5, "ValueError: age is negative"]
    assert (
        "Input:         age DOUBLE 'in years'\n               bmi DOUBLE DEFAULT 25.0 'kg/m2'\n" in found["described"]
    )
    assert found["wrong"]
    for call, message in found["wrong"].items():
        assert WRONG_CALLS[call] in message


def check_differences(found: Mapping[str, Any]) -> None:
    """Raise an error if a value of `differences` differs, or if a row was refused that need not be."""
    assert (found["rows"], found["types"]) == (10_000, {})
    for key in ("different", "different_in_table"):
        assert set(found[key].values()) == {0}, found[key]
    if found["refused"]:  # Spark 4.0
        assert found["refused"] == found["large"]
        assert all("from 2^53 on beside NULL" in error for error in found["refusals"])


def main(folder: Path, steps: Sequence[str]) -> None:
    """Do these steps with Spark Connect, each a function of this module, and write down what came out."""
    from pyspark.sql import SparkSession

    conf: dict[str, bool | float | int | str | None] = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
    }
    spark = SparkSession.builder.remote("local[2]").config(map=conf).getOrCreate()
    for step in steps:
        found = globals()[step](spark, folder)
        (folder / f"{step}.json").write_text(json.dumps(found, default=str), encoding="utf-8")
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["calls", "differences", "tables", "counts"])
