"""What `run()` may wrongly give back, end to end, with the numbers of the catalogue in docs/reliability.md."""

from __future__ import annotations

import json
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore.outcome import describe_failure
from tests.support.ledger import check_ledger, read_table
from tests.support.settings import session_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.faults
MakeDeployment = Callable[..., Path]

IDS = range(210)
# A row in the first, the middle and the last of 21 mini-batches: one mini-batch in seven.
POISON = {3, 104, 207}
SETTINGS: dict[str, Any] = {"error_threshold": -1, "mini_batch_size": 10, "retry_settings": {"max_retries": 0}}
SCRIPT = """
import datetime, time
from decimal import Decimal
import numpy as np
import pandas as pd

class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

class Lonely(Exception):
    def __init__(self, first, second):
        super().__init__("needs two arguments")

class Odd(list):
    def __len__(self):
        raise RuntimeError("no length")

    def __iter__(self):
        raise RuntimeError("no elements")

def throw(error):
    raise error

def run(frame):
    count = len(frame)
    if frame["id"].isin({poison}).any():
        return {returned}
    return {good}
"""


@dataclass(frozen=True)
class Case:
    number: int
    returned: str
    code: str
    told: str
    schema: str = "prediction bigint"
    good: str = "(frame['id'] * 2).tolist()"


TEXT = {"schema": "prediction string", "good": "['good'] * count"}
REFUSED = [
    Case(29, "[1] * (count - 1)", "OUTPUT_ROWS", "0 elements for 1 rows"),
    Case(30, "[1] * (count + 1)", "OUTPUT_ROWS", "2 elements for 1 rows"),
    Case(31, "None", "OUTPUT_KIND", "None"),
    Case(31, "5", "OUTPUT_KIND", "int"),
    Case(31, "'cat'", "OUTPUT_KIND", "str"),
    Case(31, "{'prediction': [1] * count}", "OUTPUT_KIND", "dict"),
    Case(33, "Odd([1])", "OUTPUT_UNREADABLE", "RuntimeError"),
    Case(34, "[{'other': 1}] * count", "OUTPUT_COLUMNS", "other"),
    Case(34, "[{'prediction': 1, 'more': 2}] * count", "OUTPUT_COLUMNS", "more"),
    Case(34, "pd.DataFrame({'more': [1] * count})", "OUTPUT_COLUMNS", "more"),
    Case(34, "pd.DataFrame([[1, 2]] * count, columns=['prediction'] * 2)", "OUTPUT_COLUMNS", "prediction"),
    Case(35, "['text'] * count", "OUTPUT_TYPE", "'prediction'.*str.*bigint"),
    Case(35, "[[1, 2]] * count", "OUTPUT_(TYPE|SHAPE|COLUMNS)", "."),
    Case(37, "[2**63] * count", "OUTPUT_TYPE", "'prediction'.*bigint"),
    Case(37, "np.array([2**63] * count, 'uint64')", "OUTPUT_TYPE", "'prediction'.*bigint"),
    Case(37, "[1.7] * count", "OUTPUT_TYPE", "'prediction'.*float.*bigint"),
    Case(37, "[300] * count", "OUTPUT_TYPE", "'prediction'.*tinyint", "prediction tinyint", "[7] * count"),
    Case(38, "pd.Series([float('nan')] * count)", "OUTPUT_TYPE", "'prediction'"),
    Case(39, "[Decimal('1.005')] * count", "OUTPUT_TYPE", "'prediction'.*decimal", "prediction decimal(5,2)",
         "[Decimal('1.25')] * count"),
    Case(39, "np.array(['12026-01-01'] * count, 'datetime64[D]')", "OUTPUT_TYPE", "'prediction'.*date",
         "prediction date", "[datetime.date(9999, 12, 31)] * count"),
    Case(39, "[datetime.datetime(2026, 3, 29, 2, 30)] * count", "OUTPUT_TYPE", "'prediction'.*timestamp",
         "prediction timestamp", "[datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)] * count"),
    Case(40, "[1 if key in {3, 104, 207} else 'good' for key in frame['id']]", "OUTPUT_TYPE", "'prediction'.*int",
         **TEXT),
    Case(42, r"['\ud800'] * count", "OUTPUT_TYPE", "'prediction'", **TEXT),
    Case(44, "throw(Unreadable())", "SCRIPT_RUN", "own text could not be read"),
    Case(44, "throw(Lonely(1, 2))", "SCRIPT_RUN", "needs two arguments"),
    Case(44, "throw(ValueError('x' * 10_000_000))", "SCRIPT_RUN", "^x{2000}$"),
]  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    for part in range(3):
        pq.write_table(pa.table({"id": IDS[part * 70 : (part + 1) * 70]}), tmp_path / "rows" / f"{part}.parquet")
    return tmp_path / "rows"


def script_of(returned: str, good: str) -> str:
    return SCRIPT.replace("{poison}", str(POISON)).replace("{returned}", returned).replace("{good}", good)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.number}: {case.returned[:40]}")
def test_29_to_44_what_cannot_become_rows_costs_its_row_alone(
    case: Case, spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(
        script_of(case.returned, case.good), settings=SETTINGS, output={"schema": case.schema, "carry": ["id"]}
    )

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", IDS)
    quarantine = read_table(tmp_path / "out_quarantine")
    assert {json.loads(row)["id"] for row in quarantine["row"].to_pylist()} == POISON
    for row in quarantine.to_pylist():
        assert_matches(case, row)
    if case.schema == "prediction bigint":
        predictions = read_table(tmp_path / "out").to_pylist()
        assert all(row["prediction"] == 2 * row["id"] for row in predictions)
    attempts = pq.read_table(tmp_path / "runs" / run.record["run_id"] / "attempts.parquet").to_pylist()
    calls = [attempt["mini_batch"] for attempt in attempts]
    assert sorted(calls.count(name) for name in set(calls))[:18] == [1] * 18, "an untouched mini-batch was called again"


def assert_matches(case: Case, row: dict[str, Any]) -> None:
    assert re.fullmatch(case.code, row["error_code"]), row
    assert re.search(case.told, row["message"]), row
    assert len(row["message"]) <= 2000


def test_32_nothing_for_a_mini_batch_is_not_put_down_to_single_rows(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    script = script_of("[]", "(frame['id'] * 2).tolist()")
    deployment = make_deployment(script, settings=SETTINGS, output={"schema": "prediction bigint", "carry": ["id"]})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", IDS)
    assert (run.record["counts"]["failed"], run.record["counts"]["attempts"]) == (30, 21)
    quarantine = read_table(tmp_path / "out_quarantine").to_pylist()
    assert {(row["error_code"], "0 elements for 10 rows" in row["message"]) for row in quarantine} == {
        ("OUTPUT_ROWS", True)
    }


def test_33_any_of_the_documented_forms_may_come_from_one_script(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    script = """
    import numpy as np, pandas as pd, pyarrow as pa

    FORMS = [
        list, tuple, iter, np.array, pd.Series, pa.array,
        lambda values: (value for value in values),
        lambda values: [{"prediction": value} for value in values],
        lambda values: pd.DataFrame({"prediction": values}),
        lambda values: pa.table({"prediction": values}),
    ]

    def run(frame):
        values = (frame["id"] * 2).tolist()
        return FORMS[frame["id"].iloc[0] // 10 % len(FORMS)](values)
    """
    deployment = make_deployment(
        script, settings=SETTINGS, output={"schema": "prediction bigint", "carry": ["id"]}
    )  # fmt: skip

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", IDS)
    assert run.record["counts"]["failed"] == 0
    assert all(row["prediction"] == 2 * row["id"] for row in read_table(tmp_path / "out").to_pylist())


EXACT: dict[str, tuple[str, list[Any]]] = {
    "36": ("double", [math.nan, math.inf, -math.inf, -0.0, 5e-324, None]),
    "37": ("bigint", [2**63 - 1, -(2**63), 0]),
    "38": ("bigint", [2**53 + 1, None, -(2**53) - 1]),
    "39 decimals": ("decimal(38,18)", [Decimal("12345678901234567890.000000000000000001"), Decimal("-1E-18"), None]),
    "39 dates": ("date", [date(1, 1, 1), date(1582, 10, 10), date(2262, 4, 12), date(9999, 12, 31)]),
    "39 moments": ("timestamp", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)]),
    "41 lists": ("array<array<double>>", [[[1.5, math.nan], []], [], None, [[None]]]),
    "41 structs": ("array<struct<name:string,n:bigint>>", [[{"name": "a", "n": 2**60}, {"name": None, "n": None}], []]),
    "41 maps": ("map<string,bigint>", [[("a", 1), ("b", None)], [], None]),
    "41 bytes": ("binary", [b"", b"\x00\xff", bytes(range(256)), None]),
    "42": ("string", ["a\0b", "\U0001f600", "e\u0301", "", "x" * 10_000_000, "\u2028\n\r\n\t\"',\\", None]),
}


@pytest.mark.parametrize("output_format", ["delta", "parquet"])
@pytest.mark.parametrize("name", EXACT)
def test_36_to_42_values_arrive_as_they_are(
    name: str, output_format: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    ddl, values = EXACT[name]
    pq.write_table(pa.table({"id": range(len(values))}), tmp_path / "rows.parquet")
    deployment = make_deployment(
        """
        import pickle
        from pathlib import Path

        VALUES = pickle.loads(Path(__file__).with_name("values.pickle").read_bytes())

        def run(frame):
            return [(VALUES[key],) for key in frame["id"]]
        """,
        settings=SETTINGS,
        output={"schema": f"prediction {ddl}", "carry": ["id"], "format": output_format},
    )
    given = [dict(value) if ddl.startswith("map") and value is not None else value for value in values]
    (deployment.parent / "code" / "values.pickle").write_bytes(pickle.dumps(given))

    run = sparkscore.score(spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", range(len(values)))
    found = {row["id"]: row["prediction"] for row in read_table(tmp_path / "out").to_pylist()}
    # Texts tell NaN, -0.0 and every digit.
    assert [_text(found[number]) for number in range(len(values))] == [_text(value) for value in values]


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, ".18f")
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else repr(value)


def test_43_a_script_that_changes_its_input_changes_no_carried_value_and_no_second_try(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    script = """
    calls = 0

    def run(frame):
        global calls
        calls += 1
        before = frame["id"].tolist()
        frame.loc[:, "id"] = -1
        frame.drop(columns="id", inplace=True)
        if calls % 2:
            raise ValueError("every first try fails")
        return before
    """
    settings = SETTINGS | {"retry_settings": {"max_retries": 1}}
    deployment = make_deployment(script, settings=settings, output={"schema": "prediction bigint", "carry": ["id"]})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", IDS)
    assert (run.record["counts"]["failed"], run.record["counts"]["attempts"]) == (0, 42)
    assert all(row["prediction"] == row["id"] for row in read_table(tmp_path / "out").to_pylist())


def test_45_what_comes_back_after_the_timeout_does_not_count(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    settings = SETTINGS | {"retry_settings": {"max_retries": 0, "timeout": 1}}
    deployment = make_deployment(
        script_of("time.sleep(1.5) or [1] * count", "(frame['id'] * 2).tolist()"),
        settings=settings,
        output={"schema": "prediction bigint", "carry": ["id"]},
    )

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", IDS)
    quarantine = read_table(tmp_path / "out_quarantine").to_pylist()
    assert {row["error_code"] for row in quarantine} == {"MINI_BATCH_TIMEOUT"}
    assert sorted(json.loads(row["row"])["id"] for row in quarantine) == [
        *range(10),
        *range(100, 110),
        *range(200, 210),
    ]


def test_25_how_spark_cuts_its_partitions_changes_no_result(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    deployment = make_deployment(
        script_of("[None] * (count + 1)", "(frame['id'] * 2).tolist()"),
        settings=SETTINGS,
        output={"schema": "prediction bigint", "carry": ["id"]},
    )
    results = []

    for opening_cost, adaptive in (("4194304", "true"), ("134217728", "false")):
        output = tmp_path / opening_cost
        settings = {"spark.sql.files.openCostInBytes": opening_cost, "spark.sql.adaptive.enabled": adaptive}
        with session_settings(spark, settings):
            run = sparkscore.score(spark, deployment, input=rows, output=output)
        check_ledger(run.record, tmp_path / "runs", IDS)
        results.append(sorted((row["id"], row["prediction"]) for row in read_table(output).to_pylist()))

    assert results[0] == results[1]
    assert len(results[0]) == len(IDS) - len(POISON)


def test_27_a_flood_of_output_and_a_huge_exception_fill_no_log(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    script = f"""
    def run(frame):
        for _ in range(5):
            print("x" * 1_000_000)
        if frame["id"].isin({POISON}).any():
            raise ValueError("y" * 5_000_000)
        return [1] * len(frame)
    """
    deployment = make_deployment(script, settings=SETTINGS, output={"schema": "prediction bigint", "carry": ["id"]})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", IDS)
    kept = sum(file.stat().st_size for file in (tmp_path / "runs").rglob("*") if file.is_file())
    assert kept < 10_000_000
    assert all(len(row["message"]) <= 2000 for row in read_table(tmp_path / "out_quarantine").to_pylist())


def test_27_a_huge_exception_travels_to_the_driver_as_a_short_text() -> None:
    failure = describe_failure(ValueError("y" * 5_000_000))

    # Each failed mini-batch brings one of them; the driver holds them all, and Spark limits what tasks send it.
    assert sum(len(text) for text in astuple(failure)) < 200_000


def test_20_threads_forks_and_pools_of_the_script_work(
    spark: SparkSession, tmp_path: Path, rows: Path, make_deployment: MakeDeployment
) -> None:
    script = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    def double(number):
        return 2 * number

    def init():
        global pool
        pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))

    def run(frame):
        with ThreadPoolExecutor(4) as threads:
            of_threads = list(threads.map(double, frame["id"]))
        assert of_threads == list(pool.map(double, frame["id"]))
        return of_threads

    def shutdown():
        pool.shutdown()
    """
    settings = SETTINGS | {"mini_batch_size": 70}
    deployment = make_deployment(script, settings=settings, output={"schema": "prediction bigint", "carry": ["id"]})

    run = sparkscore.score(spark, deployment, input=rows, output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", IDS)
    assert run.record["counts"]["failed"] == 0
    assert all(row["prediction"] == 2 * row["id"] for row in read_table(tmp_path / "out").to_pylist())
