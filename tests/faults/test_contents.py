"""Faults in what input files hold, with the numbers of the catalogue in docs/reliability.md."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sparkscore
from sparkscore import SparkscoreError
from tests.support.ledger import check_ledger, read_table
from tests.support.settings import refused, session_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.faults
MakeDeployment = Callable[..., Path]
IDS = "def run(frame): return frame['id'].tolist()"
TOLERANT: dict[str, Any] = {"error_threshold": -1, "retry_settings": {"max_retries": 0}}


def write_cut(folder: Path, kind: str, eighth: int) -> Path:
    folder.mkdir()
    whole = folder / f"b.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"id": range(1000)}), folder / "a.parquet")
        pq.write_table(pa.table({"id": range(1000, 2000)}), whole)
    else:
        lines = [f'{{"id": {number}}}\n' for number in range(2000)]
        if kind == "csv.gz":
            lines = ["id\n", *(f"{number}\n" for number in range(2000))]
        (folder / f"a.{kind}").write_bytes(gzip.compress("".join(lines[:1000]).encode()))
        whole.write_bytes(gzip.compress("".join([lines[0], *lines[1000:]]).encode()))
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * eighth // 8])
    return whole


@pytest.mark.parametrize("kind", ["parquet", "csv.gz", "json.gz"])
@pytest.mark.parametrize("eighth", range(1, 8))
def test_55_and_56_a_file_that_was_cut_stops_the_run_though_the_session_would_pass_over_it(
    eighth: int, kind: str, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    cut = write_cut(tmp_path / "in", kind, eighth)
    passing = {"spark.sql.files.ignoreCorruptFiles": "true", "spark.sql.files.ignoreMissingFiles": "true"}

    with session_settings(spark, passing):
        deployment = make_deployment(IDS, settings=TOLERANT)
        error = refused(spark, deployment, tmp_path / "out", input=tmp_path / "in")

    assert error.code == "INPUT_UNREADABLE"
    assert cut.name in str(error)


BAD_LINES = {
    "a text for a number": "x,b",
    "too short": "2",
    "too long": "2,b,c",
    "a quote that is not closed": '2,"b',
    "a quote after the field": '2,"b"b',
    "a number that does not fit": "99999999999999999999,b",
}


CODES = {
    "too short": "INPUT_UNREADABLE",
    "too long": "INPUT_UNREADABLE",
    "a quote that is not closed": "INPUT_OPEN_QUOTE",
    "a quote after the field": "INPUT_QUOTES",
}


@pytest.mark.parametrize("schema", ["id bigint, name string", None], ids=["declared", "inferred"])
@pytest.mark.parametrize("name", BAD_LINES)
def test_57_a_bad_line_of_a_csv_file_loses_no_row_and_makes_no_null(
    name: str,
    schema: str | None,
    spark: SparkSession,
    tmp_path: Path,
    make_deployment: MakeDeployment,
) -> None:
    (tmp_path / "rows.csv").write_text(f"id,name\n1,a\n{BAD_LINES[name]}\n3,c\n4,d\n")
    settings = {"input.schema": schema}
    deployment = make_deployment("def run(frame): return [1] * len(frame)", settings=TOLERANT)

    try:
        run = sparkscore.score(
            spark, deployment, input=tmp_path / "rows.csv", output=tmp_path / "out", settings=settings
        )
    except SparkscoreError as error:
        assert error.code == CODES.get(name, "INPUT_VALUE")  # noqa: PT017 - where it fails depends on the case
        assert "rows.csv" in str(error)  # noqa: PT017
        assert not (tmp_path / "out").exists()
        return
    rows = read_table(tmp_path / "out").to_pylist()
    assert run.record["counts"]["scored"] == len(rows) == 4
    assert not any(row["id"] is None or row["name"] is None for row in rows)
    assert schema is None or {1, 3, 4} < {row["id"] for row in rows}


@pytest.mark.parametrize("declared", [None, "id bigint"])
@pytest.mark.parametrize("other", [pa.string(), pa.float64(), pa.int32(), pa.list_(pa.int64())], ids=str)
def test_59_a_column_of_another_type_in_some_files_is_never_read_wrong(
    other: pa.DataType, declared: str | None, spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    values = [[7]] if pa.types.is_list(other) else ["7"] if other == pa.string() else [7]
    pq.write_table(pa.table({"id": [2**53 + 1]}), tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"id": pa.array(values, other)}), tmp_path / "in" / "b.parquet")
    deployment = make_deployment(IDS, settings=TOLERANT)
    settings = {"input.schema": declared}

    if pa.types.is_integer(other) or (declared and pa.types.is_floating(other)):
        sparkscore.score(spark, deployment, input=tmp_path / "in", output=tmp_path / "out", settings=settings)
        assert {row["prediction"] for row in read_table(tmp_path / "out").to_pylist()} == {2**53 + 1, 7}
        return
    error = refused(spark, deployment, tmp_path / "out", input=tmp_path / "in", settings=settings)

    # Integers and doubles are doubles together, unless one of the integers cannot be held.
    is_double = pa.types.is_floating(other)
    assert error.code == ("INPUT_VALUE" if is_double else "INPUT_TYPES")
    assert "'id'" in str(error)
    assert ("a.parquet" if is_double else "b.parquet") in str(error)


def test_60_a_column_that_only_some_files_have_is_kept(
    spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment
) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"id": [2], "more": ["x"]}), tmp_path / "in" / "b.parquet")

    run = sparkscore.score(spark, make_deployment(IDS), input=tmp_path / "in", output=tmp_path / "out")

    check_ledger(run.record, tmp_path / "runs", [1, 2])
    assert {row["id"]: row["more"] for row in read_table(tmp_path / "out").to_pylist()} == {1: None, 2: "x"}


# Berlin's clocks of 2026: an hour that is not there, an hour that is there twice.
CLOCKS = [
    "0001-01-02", "1582-10-10", "1900-01-01", "1969-12-31T23:59:59.999999", "2026-03-29T01:30", "2026-03-29T02:30",
    "2026-10-25T00:30", "2026-10-25T02:30", "2262-04-12", "9999-12-30T23:59:59.999999",
]  # fmt: skip
# Python has these in UTC and not in every zone.
EDGES = ["0001-01-01", "9999-12-31T23:59:59.999999"]
SAME = """
def run(frame):
    if {is_bad}:
        raise ValueError("bad")
    return [{{"same_at": at, "same_clock": clock}} for at, clock in zip(frame["at"], frame["clock"])]
"""


@pytest.fixture
def score_moments(spark: SparkSession, tmp_path: Path, make_deployment: MakeDeployment) -> Callable[..., Any]:
    def score(moments: list[datetime], zone: str, is_bad: str) -> Any:
        clocks = [moment.replace(tzinfo=None) for moment in moments]
        columns = {"at": pa.array(moments, pa.timestamp("us", "UTC")), "clock": pa.array(clocks, pa.timestamp("us"))}
        pq.write_table(pa.table({"id": range(len(moments)), **columns}), tmp_path / "rows.parquet")
        schema = "same_at timestamp, same_clock timestamp_ntz"
        deployment = make_deployment(
            SAME.format(is_bad=is_bad),
            settings=TOLERANT | {"mini_batch_size": 4, "retry_settings": {"max_retries": 0, "timeout": 5}},
            output={"schema": schema, "carry": ["id", "at", "clock"], "format": "parquet"},
        )
        with session_settings(spark, {"spark.sql.session.timeZone": zone}):
            run = sparkscore.score(spark, deployment, input=tmp_path / "rows.parquet", output=tmp_path / "out")
        check_ledger(run.record, tmp_path / "runs", range(len(moments)))
        return run

    return score


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_66_moments_are_the_same_in_any_session_zone(
    zone: str, tmp_path: Path, score_moments: Callable[..., Any]
) -> None:
    moments = [datetime.fromisoformat(clock).replace(tzinfo=UTC) for clock in CLOCKS]

    run = score_moments(moments, zone, is_bad="False")

    assert run.record["counts"]["failed"] == 0
    for row in read_table(tmp_path / "out").to_pylist():
        found = [row[name].replace(tzinfo=UTC) for name in ("at", "clock", "same_at", "same_clock")]
        assert found == [moments[row["id"]]] * 4


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_66_moments_are_the_same_in_the_quarantine(
    zone: str, tmp_path: Path, score_moments: Callable[..., Any]
) -> None:
    moments = [datetime.fromisoformat(clock).replace(tzinfo=UTC) for clock in CLOCKS + EDGES]

    run = score_moments(moments, zone, is_bad="frame['id'].iloc[-1] >= 4")

    assert run.record["counts"]["failed"] == len(moments) - 4
    for failed in read_table(tmp_path / "out_quarantine").to_pylist():
        told = json.loads(failed["row"])
        assert datetime.fromisoformat(told["at"]) == moments[told["id"]]
        assert datetime.fromisoformat(told["clock"]).replace(tzinfo=UTC) == moments[told["id"]]
