"""The main job under a session whose settings are all other than Spark's, compared with one that has Spark's own."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import os
import subprocess
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import sparkscore
from sparkscore.config import Input
from sparkscore.sources import open_source

HOSTILE = {
    "spark.databricks.delta.autoCompact.enabled": "true",
    "spark.databricks.delta.autoCompact.minNumFiles": "2",
    "spark.databricks.delta.commitInfo.enabled": "false",
    "spark.databricks.delta.history.metricsEnabled": "false",
    "spark.databricks.delta.optimizeWrite.enabled": "true",
    "spark.databricks.delta.schema.autoMerge.enabled": "true",
    "spark.databricks.delta.stalenessLimit": "1h",
    "spark.databricks.delta.write.utcTimestampPartitionValues": "false",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.caseSensitive": "true",
    "spark.sql.charAsVarchar": "true",
    "spark.sql.columnNameOfCorruptRecord": "text",
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "3",
    "spark.sql.execution.arrow.useLargeVarTypes": "true",
    "spark.sql.files.ignoreCorruptFiles": "true",
    "spark.sql.files.ignoreMissingFiles": "true",
    "spark.sql.files.maxPartitionBytes": "3000",
    "spark.sql.json.enableExactStringParsing": "false",
    "spark.sql.json.enablePartialResults": "false",
    "spark.sql.legacy.charVarcharAsString": "true",
    "spark.sql.legacy.csv.enableDateTimeParsingFallback": "true",
    "spark.sql.legacy.json.allowEmptyString.enabled": "true",
    "spark.sql.legacy.timeParserPolicy": "LEGACY",
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
    "spark.sql.optimizer.nestedSchemaPruning.enabled": "false",
    "spark.sql.parquet.aggregatePushdown": "true",
    "spark.sql.parquet.binaryAsString": "true",
    "spark.sql.parquet.datetimeRebaseModeInRead": "LEGACY",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "LEGACY",
    "spark.sql.parquet.enableVectorizedReader": "false",
    "spark.sql.parquet.fieldId.read.enabled": "false",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "false",
    "spark.sql.parquet.int96RebaseModeInRead": "LEGACY",
    "spark.sql.parquet.int96TimestampConversion": "true",
    "spark.sql.parquet.mergeSchema": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MILLIS",
    "spark.sql.parquet.respectSummaryFiles": "true",
    "spark.sql.parquet.writeLegacyFormat": "true",
    "spark.sql.parser.quotedRegexColumnNames": "true",
    "spark.sql.readSideCharPadding": "false",
    "spark.sql.session.timeZone": "America/New_York",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "true",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    "spark.sql.sources.useV1SourceList": "",
    "spark.sql.sources.validatePartitionColumns": "false",
    "spark.sql.storeAssignmentPolicy": "LEGACY",
    "spark.sql.timeTravelVersionKey": "asOf",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
}
SCRIPT = """
def run(frame):
    moments = frame["moment"] if "moment" in frame else []
    hours = [None if str(moment) in ("NaT", "<NA>", "None") else moment.hour for moment in moments]
    return [f"{hours[row] if row < len(hours) else ''}|{frame['text'][row]}" for row in range(len(frame))]
"""
AUTUMN = [dt.datetime(2026, 10, 25, hour, 30, tzinfo=dt.UTC) for hour in (0, 1)]
AUTUMN += [dt.datetime(2026, 11, 1, hour, 30, tzinfo=dt.UTC) for hour in (5, 6)]
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
MOMENTS = [*AUTUMN, dt.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC), dt.datetime(1500, 3, 1, 12, tzinfo=dt.UTC), None]


def rows() -> pa.Table:
    count = len(MOMENTS)
    return pa.table(
        {
            "id": range(count),
            "text": pa.array([None, "", "Grüße", "a,b", 'quote"', "x ", "2026-13-01"]),
            "moment": pa.array(MOMENTS, pa.timestamp("us", "UTC")),
            "local": pa.array([None if each is None else each.replace(tzinfo=None) for each in MOMENTS]),
            "day": pa.array([dt.date(1500, 1, 1), dt.date(1, 1, 1), dt.date(9999, 12, 31), *[None] * (count - 3)]),
            "bytes": pa.array([b"\x00\xff", b"", None, *[b"z"] * (count - 3)]),
            "money": pa.array([decimal.Decimal("0.10")] * count, pa.decimal128(38, 9)),
            "deep": pa.array(
                [[{"k": "v", "t": MOMENTS[row]}] for row in range(count)],
                pa.list_(pa.struct({"k": pa.string(), "t": pa.timestamp("us", "UTC")})),
            ),
        }
    )


@contextmanager
def settings(spark: SparkSession, given: dict[str, str]) -> Iterator[None]:
    before = spark.conf.getAll
    for key, value in given.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in given:
            if key in before:
                spark.conf.set(key, before[key])
            else:
                spark.conf.unset(key)


def kept_settings(spark: SparkSession) -> dict[str, str]:
    """Give the session's settings, without the one in which Delta itself keeps its last commit."""
    return {key: value for key, value in spark.conf.getAll.items() if "lastCommitVersionInSession" not in key}


def make_input(kind: str, folder: Path) -> Path:
    """Write an input without Spark."""
    if kind == "delta":
        deltalake.write_deltalake(str(folder), rows().slice(0, 4))
        deltalake.write_deltalake(str(folder), rows().slice(4), mode="append")
        return folder
    for number, day in enumerate(("007", "7", "010")):
        place = folder / f"store={day}"
        place.mkdir(parents=True)
        table = rows().slice(number * 2, 3 if number == 2 else 2)
        if kind == "parquet":
            pq.write_table(table, place / "part.parquet", use_deprecated_int96_timestamps=True)
        elif kind == "csv":
            lines = [f"{row},2026-0{row + 1}-28 23:30:00,2026-02-0{row + 1},text {row}\n" for row in range(3)]
            (place / "part.csv").write_text("id,moment,day,text\n" + "".join(lines))
        else:
            records = [{"id": row, "text": f"text {row}", "d": 0.1, "m": {"a": [row]}} for row in range(3)]
            (place / "part.json").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def cells(place: Path, table_format: str) -> list[dict[str, Any]]:
    """Read a result by a second reader, without what differs from run to run."""
    if table_format == "delta":
        table = deltalake.DeltaTable(str(place)).to_pyarrow_table()
    else:
        # The types of keys in folders' names are the reader's guess.
        keys = pyarrow.dataset.partitioning(pa.schema({"run_id": pa.string(), "store": pa.string()}), flavor="hive")
        table = pyarrow.dataset.dataset(place, partitioning=keys).to_table()
    kept = [name for name in table.column_names if name not in {"run_id", "scored_at", "model_version"}]
    types = {name: str(table.schema.field(name).type) for name in kept}
    found = table.select(kept).to_pylist()
    return [types, *sorted(found, key=lambda row: (str(row["source_file"]), row["id"]))]


CARRIED = {
    "csv": ["id", "moment", "day", "text", "store"],
    "json": ["id", "text", "d", "m", "store"],
    "parquet": [*rows().column_names, "store"],
    "delta": rows().column_names,
}


def score_all(
    spark: SparkSession, deployment: Path, inputs: dict[str, Path], place: Path, *, is_quick: bool = False
) -> dict[str, Any]:
    """Score every input into tables of both formats; quickly: without a probe and without a process of its own."""
    found: dict[str, Any] = {}
    for kind, source in inputs.items():
        for table_format in ("delta", "parquet"):
            output = place / f"{kind}-{table_format}"
            options: dict[str, Any] = {"input": source, "output": output, "output_format": table_format}
            options["partition_by"] = ["store"] if kind != "delta" else ["moment"] if table_format == "delta" else []
            # To start a process takes longer than what it does: one of the formats does without.
            settings: dict[str, Any] = {"isolation": "none"} if is_quick or table_format == "parquet" else {}
            if is_quick:
                settings |= {"output.schema": "prediction string", "output.carry": CARRIED[kind]}
            sparkscore.score(spark, deployment, **options, settings=settings)
            if kind == "delta":
                # Fewer rows than before: the others' partitions must go.
                settings = settings | {"input.version": 0}
                sparkscore.score(spark, deployment, **options, mode="overwrite", settings=settings)
            found[output.name] = cells(output, table_format)
    return found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return {kind: make_input(kind, folder / kind) for kind in ("csv", "json", "parquet", "delta")}


def test_a_hostile_session_gives_cell_by_cell_what_a_tame_one_gives(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path], inputs: dict[str, Path]
) -> None:
    deployment = make_deployment(SCRIPT, input={"dtypes": "arrow"})
    tame = score_all(spark, deployment, inputs, tmp_path / "tame", is_quick=True)

    with settings(spark, HOSTILE):
        before = kept_settings(spark)
        hostile = score_all(spark, deployment, inputs, tmp_path / "hostile")
        after = kept_settings(spark)

    assert after == before
    for name, cells_of_tame in tame.items():
        assert hostile[name] == cells_of_tame, name
    moments = {row["moment"] for row in tame["delta-delta"][1:]}
    assert moments == set(AUTUMN)
    assert {row["store"] for row in tame["csv-delta"][1:]} == {"007", "7", "010"}


def test_a_user_sees_times_in_their_own_zone(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path], inputs: dict[str, Path]
) -> None:
    deployment = make_deployment(SCRIPT, input={"dtypes": "arrow"}, isolation="none")
    with settings(spark, {"spark.sql.session.timeZone": "Asia/Tokyo"}):
        run = sparkscore.score(spark, deployment, input=inputs["delta"], output=tmp_path / "out")
        shown = {row[0] for row in run.predictions().where("id = 0").selectExpr("string(moment)").collect()}

    assert shown == {"2026-10-25 09:30:00"}


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_damaged_delta_table_is_refused_in_every_session(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path], damage: str
) -> None:
    table = make_input("delta", tmp_path / "in")
    file = min(table.glob("*.parquet"))
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    deployment = make_deployment(SCRIPT)

    with settings(spark, HOSTILE):
        before = kept_settings(spark)
        with pytest.raises(sparkscore.SparkscoreError):
            sparkscore.score(spark, deployment, input=table, output=tmp_path / "out")
        after = kept_settings(spark)

    assert after == before
    assert not (tmp_path / "out").exists()


def test_a_script_that_fails_leaves_the_settings_as_they_were(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path], inputs: dict[str, Path]
) -> None:
    deployment = make_deployment("def run(frame): raise ValueError('no')")

    with settings(spark, HOSTILE):
        before = kept_settings(spark)
        with pytest.raises(sparkscore.SparkscoreError, match="SCRIPT_RUN"):
            sparkscore.score(spark, deployment, input=inputs["csv"], output=tmp_path / "out")
        after = kept_settings(spark)

    assert after == before


def test_a_frame_of_a_source_does_not_depend_on_settings_when_it_runs(
    spark: SparkSession, inputs: dict[str, Path]
) -> None:
    config = Input(location=(str(inputs["csv"]),), format="csv")
    source = open_source(spark, config, is_files_by_default=False)

    with settings(spark, {"spark.sql.sources.partitionColumnTypeInference.enabled": "true"}):
        again = open_source(spark, config, is_files_by_default=False)

    for frame in (source.frame(), again.frame()):
        assert frame is not None
        kinds = {field.name: field.dataType.simpleString() for field in frame.schema}
        assert (kinds["store"], kinds["moment"], kinds["day"]) == ("string", "timestamp_ntz", "date")
        assert {row[0] for row in frame.select("store").collect()} == {"007", "7", "010"}


def test_times_that_partition_a_delta_table_are_not_those_of_the_session(
    spark: SparkSession, tmp_path: Path, make_deployment: Callable[..., Path]
) -> None:
    script = "def run(frame): return frame['id'].tolist()"
    deployment = make_deployment(script, input={"columns": ["id", "moment"]})
    table = rows().slice(0, 4).select(["id", "moment"])
    # The log of the one has times without a zone, that of the other in UTC, with a Z.
    deltalake.write_deltalake(str(tmp_path / "without"), table, partition_by=["moment"])
    pq.write_table(table, tmp_path / "rows.parquet")
    source: dict[str, Any] = {"input": tmp_path / "rows.parquet", "partition_by": ["moment"]}
    sparkscore.score(spark, deployment, output=tmp_path / "with", **source)

    with settings(spark, {"spark.sql.session.timeZone": "America/New_York"}):
        sparkscore.score(spark, deployment, input=tmp_path / "with", output=tmp_path / "a")
        with pytest.raises(sparkscore.SparkscoreError, match=r"INPUT_TIME_ZONE.*spark.sql.session.timeZone=UTC"):
            sparkscore.score(spark, deployment, input=tmp_path / "without", output=tmp_path / "b")
        own = {"input.options": {"timeZone": "America/New_York"}}
        sparkscore.score(spark, deployment, input=tmp_path / "without", output=tmp_path / "c", settings=own)
    sparkscore.score(spark, deployment, input=tmp_path / "without", output=tmp_path / "d")
    other = {"input.options": {"timezone": "America/New_York"}}  # Spark ignores the case of an option
    with pytest.raises(sparkscore.SparkscoreError, match=r"INPUT_TIME_ZONE.*timeZone=America/New_York"):
        sparkscore.score(spark, deployment, input=tmp_path / "without", output=tmp_path / "e", settings=other)

    found = {name: {row["moment"] for row in cells(tmp_path / name, "delta")[1:]} for name in "acd"}
    assert found == {"a": set(AUTUMN), "c": {each.replace(tzinfo=NEW_YORK) for each in AUTUMN}, "d": set(AUTUMN)}


IN_A_ZONE = """
import sys
import sparkscore

spark = sparkscore.local_session(master="local[2]")
assert str(spark.sql("SELECT current_timezone()").first()[0]) == "UTC"
sparkscore.score(spark, sys.argv[1], input=sys.argv[2], output=sys.argv[3], partition_by="moment")
"""


def test_the_zone_of_the_machine_does_not_matter(
    tmp_path: Path, make_deployment: Callable[..., Path], inputs: dict[str, Path]
) -> None:
    deployment = make_deployment(SCRIPT, input={"dtypes": "arrow"})
    (tmp_path / "job.py").write_text(IN_A_ZONE)
    places = [str(deployment), str(inputs["delta"]), str(tmp_path / "out")]
    zone = {"TZ": "Europe/Berlin", "JAVA_TOOL_OPTIONS": "-Duser.timezone=Europe/Berlin"}

    done = subprocess.run(
        [sys.executable, "job.py", *places],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | zone,
        text=True,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert {row["moment"] for row in cells(tmp_path / "out", "delta")[1:]} >= set(AUTUMN)
