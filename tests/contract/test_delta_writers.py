"""A Delta table whose files the workers wrote is the one that Spark would have written."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import lit
from pyspark.sql.types import LongType, StructField, StructType

from sparkscore.config import Output
from sparkscore.errors import ConfigError, SinkError
from sparkscore.sinks import Published, StagedResult, open_sink, staged_in
from sparkscore.sinks.delta_commit import Commit, why_not_commit
from sparkscore.sinks.delta_open import CannotCommitError
from sparkscore.sinks.target import Target
from sparkscore.spark.schema import from_arrow
from sparkscore.spark.settings import pinned_settings, read_from
from sparkscore.stage.writer import StageWriter
from tests.support.all_types import comparable, write_all_types

ROWS = pa.table({"id": pa.array([1, 2, 3]), "label": pa.array(["a", None, "a"]), "score": pa.array([0.5, None, -0.0])})

Publish = Callable[..., Published]


@pytest.fixture
def publish(spark: SparkSession) -> Publish:
    """Do what a run does with the sink of a Delta table."""

    def run(table: Path, run_id: str, rows: pa.Table = ROWS, writer: str = "auto", **options: Any) -> Published:
        output = Output(
            location=str(table),
            writer=writer,  # type: ignore[arg-type]
            mode=options.get("mode", "append"),
            partition_by=options.get("partition_by", ()),
        )
        sink = open_sink(spark, output, run_id, "run_id")
        rows = rows.append_column("run_id", pa.repeat(pa.scalar(run_id), rows.num_rows))
        schema = from_arrow(pa.schema([field.with_nullable(True) for field in rows.schema]))
        sink.check_target()
        with staged_in(sink.target, options.get("stage"), "identity", is_moved=False) as stage:
            sink.check_schema(schema)
            layout = sink.lay_out(schema, stage)
            with StageWriter(str(stage.path), 0, **layout._asdict()) as writer_of_stage:
                for batch in rows.to_batches():
                    writer_of_stage.write(pa.Table.from_batches([batch]))
                staged = StagedResult(stage, writer_of_stage.finish(), schema, {"model_name": "m"})
            options.get("before_publish", lambda: None)()
            return sink.publish(staged)

    return run


def rows_of_all_types(folder: Path) -> pa.Table:
    write_all_types(folder)
    table = pq.ParquetFile(next(folder.rglob("*.parquet"))).read()
    extra = {
        "texts": pa.array(["a" * 40, "z" * 33, None, "é" * 40]),
        "finite": pa.array([1.5, -2.0, None, 0.0]),
        "at2": pa.array(
            [dt.datetime(2026, 11, 1, 5, 30, 0, 123456, dt.UTC), None, None, None], pa.timestamp("us", "UTC")
        ),
        "nothing": pa.nulls(4, pa.int64()),
    }
    # Delta has a feature for times without a zone, so that Spark writes tables with them.
    table = table.drop_columns("local")
    for name, column in extra.items():
        table = table.append_column(name, column)
    return table


def cells(frame: DataFrame) -> list[dict[str, Any]]:
    return sorted((comparable(row.asDict(recursive=True)) for row in frame.collect()), key=lambda row: str(row["id"]))


def log_of(table: Path, version: int) -> dict[str, Any]:
    lines = (table / "_delta_log" / f"{version:020}.json").read_text(encoding="utf-8").splitlines()
    return {name: action for line in lines for name, action in json.loads(line).items()}


def load(spark: SparkSession, table: Path, **options: str) -> DataFrame:
    return read_from(spark, "delta", options).load(str(table))


def leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


@pytest.mark.each_spark
def test_the_table_has_the_cells_schema_and_statistics_of_sparks(
    spark: SparkSession, publish: Publish, tmp_path: Path
) -> None:
    rows, ours, sparks = rows_of_all_types(tmp_path / "in"), tmp_path / "ours", tmp_path / "sparks"

    by_worker, by_spark = publish(ours, "one", rows), publish(sparks, "one", rows, writer="spark")

    assert (by_worker.writer, by_worker.writer_reason, by_worker.version, by_worker.rows) == ("worker", None, 0, 4)
    assert (by_spark.writer, by_spark.writer_reason) == ("spark", "output.writer is spark")
    with pinned_settings(spark):
        assert cells(load(spark, ours)) == cells(load(spark, sparks))
    again = deltalake.DeltaTable(str(ours)).to_pyarrow_table().sort_by("id").select(rows.schema.names)
    assert list(map(comparable, again.to_pylist())) == list(map(comparable, rows.sort_by("id").to_pylist()))
    log, expected = log_of(ours, 0), log_of(sparks, 0)
    assert log["metaData"]["schemaString"] == expected["metaData"]["schemaString"]
    assert log["metaData"]["configuration"] == expected["metaData"]["configuration"]
    assert log["protocol"] == expected["protocol"]
    check_bounds(json.loads(log["add"]["stats"]), json.loads(expected["add"]["stats"]))


def check_bounds(ours: dict[str, Any], sparks: dict[str, Any]) -> None:
    assert ours["numRecords"] == sparks["numRecords"]
    nulls = dict(leaves(ours["nullCount"]))
    assert nulls.items() <= dict(leaves(sparks["nullCount"])).items()
    assert dict(leaves(sparks["nullCount"])).keys() - nulls.keys() == {("many",), ("pairs",)}
    lowest, highest = dict(leaves(ours["minValues"])), dict(leaves(ours["maxValues"]))
    of_spark, above = dict(leaves(sparks["minValues"])), dict(leaves(sparks["maxValues"]))
    assert {name: value for name, value in of_spark.items() if lowest.get(name) != value} == {("single",): "-Infinity"}
    # Times are rounded up here. Spark rounds them down, and its readers add a millisecond.
    assert {name: value for name, value in above.items() if highest.get(name) != value} == {
        ("single",): "NaN",
        ("at",): "9999-12-30T23:59:59.999Z",
        ("at2",): "2026-11-01T05:30:00.123Z",
    }
    assert (highest["at",], highest["at2",]) == ("9999-12-31T00:00:00.000Z", "2026-11-01T05:30:00.124Z")


def count_of_both(spark: SparkSession, table: Path, version: int) -> int:
    """Check that Spark and delta-rs read the same cells of a version, and return the number of its rows."""
    by_spark = [row.asDict(recursive=True) for row in load(spark, table, versionAsOf=str(version)).collect()]
    again = deltalake.DeltaTable(str(table), version=version).to_pyarrow_table().to_pylist()
    assert sorted(map(comparable, by_spark), key=str) == sorted(map(comparable, again), key=str), version
    return len(again)


@pytest.mark.long
def test_spark_changes_such_a_table_like_its_own(spark: SparkSession, publish: Publish, tmp_path: Path) -> None:
    table = tmp_path / "a table"
    name = f"delta.`{table}`"
    publish(table, "one")
    publish(table, "two", writer="spark")
    spark.sql(f"UPDATE {name} SET label = 'c' WHERE id = 1 AND run_id = 'one'")  # noqa: S608 - a path of the test's
    spark.sql(f"MERGE INTO {name} t USING (SELECT 2L AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE")
    spark.sql(f"OPTIMIZE {name}")
    published = publish(table, "three")
    counts = [count_of_both(spark, table, version) for version in range(6)]
    # Without the second setting, VACUUM lists the folder in 10,000 tasks.
    settings = {
        "spark.databricks.delta.retentionDurationCheck.enabled": "false",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    }
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        spark.sql(f"VACUUM {name} RETAIN 0 HOURS")
    finally:
        for key in settings:
            spark.conf.unset(key)

    assert counts == [3, 6, 6, 4, 4, 7]
    expected: list[tuple[str, int, str | None]] = [("one", 1, "c"), ("one", 3, "a"), ("two", 1, "a"), ("two", 3, "a")]
    expected += [("three", 1, "a"), ("three", 2, None), ("three", 3, "a")]
    found = load(spark, table).select("run_id", "id", "label").collect()
    assert sorted(map(tuple, found), key=str) == sorted(expected, key=str)
    assert deltalake.DeltaTable(str(table)).to_pyarrow_table().num_rows == len(expected)
    (last,) = spark.sql(f"DESCRIBE HISTORY {name}").where(f"version = {published.version}").collect()
    assert json.loads(last["userMetadata"]) == {"run_id": "three", "model_name": "m"}
    assert last["operationMetrics"]["numOutputRows"] == "3"


@pytest.mark.long
def test_skipping_finds_each_row(spark: SparkSession, publish: Publish, tmp_path: Path) -> None:
    # The only value above 3 is NaN, which Spark sorts above all numbers.
    rows = rows_of_all_types(tmp_path / "in").append_column("limit", pa.array([math.nan, 1.0, 2.0, None]))
    table = tmp_path / "out"
    publish(table, "one", rows)
    conditions = (
        "at = timestamp'9999-12-30 23:59:59.999999Z'",
        "at2 = timestamp'2026-11-01 05:30:00.123456Z'",
        "texts = repeat('z', 33)",
        "texts = repeat('é', 40)",
        "limit > 3",
        "exact = 9999999999999999999999999999.9999999999",
        "big = 9223372036854775807",
        "both.n = 9007199254740993",
        "on = date'9999-12-31'",
        "single = float('-Infinity')",
    )

    with pinned_settings(spark):
        frames = [load(spark, table).where(condition).select(lit(condition)) for condition in conditions]
        found = [row[0] for row in reduce(DataFrame.unionAll, frames).collect()]

    assert sorted(found) == sorted(conditions)


@pytest.mark.long
def test_deletion_vectors_and_checkpoints_of_version_2_do_not_stop_the_workers(
    spark: SparkSession, publish: Publish, tmp_path: Path
) -> None:
    table = tmp_path / "out"
    publish(table, "one")
    properties = "'delta.enableDeletionVectors' = 'true', 'delta.checkpointPolicy' = 'v2'"
    spark.sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ({properties})")
    spark.sql(f"DELETE FROM delta.`{table}` WHERE id = 1")  # noqa: S608 - a path of the test's

    published = publish(table, "two")
    spark.sql(f"DELETE FROM delta.`{table}` WHERE id = 2 AND run_id = 'two'")  # noqa: S608 - a path of the test's

    assert (published.writer, published.writer_reason) == ("worker", None)
    assert sorted(map(tuple, load(spark, table).select("run_id", "id").collect())) == [
        ("one", 2),
        ("one", 3),
        ("two", 1),
        ("two", 3),
    ]


KEYS = ("label", "day", "yes", "key")
PARTED = pa.table(
    {
        "id": pa.array([1, 2, 3, 4]),
        "label": pa.array(["b/c=d % é:", "007", None, "a b"]),
        "day": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None, dt.date(1999, 12, 31)]),
        "yes": pa.array([True, False, None, True]),
        "key": pa.array([-(2**63), 2**63 - 1, None, 0]),
    }
)


def partitions_of(table: Path) -> list[tuple[str, str]]:
    """Return the partitions in the log of a table's first version: the values, and the folders."""
    lines = (table / "_delta_log" / f"{0:020}.json").read_text(encoding="utf-8").splitlines()
    adds = [action["add"] for line in lines if "add" in (action := json.loads(line))]
    return sorted(
        (str(sorted(add["partitionValues"].items())), unquote(add["path"].rpartition("/")[0])) for add in adds
    )


def test_partitions_are_those_of_spark(spark: SparkSession, publish: Publish, tmp_path: Path) -> None:
    ours, sparks = tmp_path / "ours", tmp_path / "sparks"

    by_worker = publish(ours, "one", PARTED, partition_by=KEYS)
    publish(sparks, "one", PARTED, partition_by=KEYS, writer="spark")

    assert (by_worker.writer, by_worker.rows) == ("worker", 4)
    assert partitions_of(ours) == partitions_of(sparks)
    assert log_of(ours, 0)["metaData"]["partitionColumns"] == list(KEYS)
    with pinned_settings(spark):
        assert cells(load(spark, ours)) == cells(load(spark, sparks))
        assert load(spark, ours).where("label = '007' AND key = 9223372036854775807").count() == 1


def test_spark_publishes_rows_in_folders_with_their_values(
    spark: SparkSession, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as those of a held run, if the table is no longer plain."""

    def fails(*_: object) -> None:
        raise CannotCommitError("no")

    monkeypatch.setattr(Commit, "_commit", fails)
    published = publish(tmp_path / "out", "one", PARTED, partition_by=KEYS)

    assert (published.writer, published.writer_reason) == ("spark", "no")
    rows = deltalake.DeltaTable(str(tmp_path / "out")).to_pyarrow_table().sort_by("id").select(PARTED.schema.names)
    assert rows.to_pylist() == PARTED.to_pylist()
    with pinned_settings(spark):
        assert load(spark, tmp_path / "out").schema.names == [*PARTED.schema.names, "run_id"]


def test_many_small_files_of_partitions_are_joined_by_spark(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparkscore.sinks.file_number._FEW", 0)
    monkeypatch.setattr("sparkscore.sinks.file_number._TIMES", 1)
    monkeypatch.setattr("sparkscore.stage.writer._OPEN_FILES", 1)
    monkeypatch.setattr("sparkscore.stage.writer._BUFFER_ROWS", 4)
    rows = pa.concat_tables([PARTED] * 5)

    published = publish(tmp_path / "out", "one", rows, partition_by=("label",))

    assert published.writer_reason == "the workers wrote 20 files, and Spark writes about 4"
    assert len(deltalake.DeltaTable(str(tmp_path / "out")).file_uris()) == 4
    assert deltalake.DeltaTable(str(tmp_path / "out")).to_pyarrow_table().num_rows == 20


IDS = pa.table({"id": [1, 2]})


class Special(NamedTuple):
    """A table with something that delta-rs may not know.

    Attributes:
        columns: the table's columns beside the run id, in SQL.
        reason: part of the reason why Spark must write the table, or None if the workers may.
        clauses: the end of the statement that creates the table.
        rows: rows that the table takes.
    """

    columns: str
    reason: str | None
    clauses: str = ""
    rows: pa.Table = IDS

    def create(self, spark: SparkSession, path: Path) -> None:
        spark.sql(f"CREATE TABLE delta.`{path}` ({self.columns}, run_id STRING) USING delta {self.clauses}")


def with_property(name: str, value: str, reason: str | None) -> Special:
    return Special("id BIGINT", reason, f"TBLPROPERTIES ('delta.{name}' = '{value}')")


WITH_DEFAULT = "TBLPROPERTIES ('delta.feature.allowColumnDefaults' = 'supported')"
NO_TEXT = "column 'id' has the properties '__CHAR_VARCHAR_TYPE_STRING'"
SPECIAL = {
    "not null": Special("id BIGINT NOT NULL", "column 'id' is NOT NULL"),
    "generated": Special(
        "id BIGINT, twice BIGINT GENERATED ALWAYS AS (id * 2)",
        "generatedColumns",
        rows=pa.table({"id": [1, 2], "twice": [2, 4]}),
    ),
    "identity": Special("id BIGINT GENERATED BY DEFAULT AS IDENTITY", "identityColumns"),
    "default": Special("id BIGINT DEFAULT 7", "allowColumnDefaults", WITH_DEFAULT),
    "varchar": Special("id VARCHAR(5)", NO_TEXT, rows=pa.table({"id": ["é" * 5, "x"]})),
    "ntz": Special(
        "id TIMESTAMP_NTZ",
        "timestampNtz",
        rows=pa.table({"id": [dt.datetime(1, 1, 1), dt.datetime(2026, 3, 8, 2, 30)]}),  # noqa: DTZ001
    ),
    "clusters": Special("id BIGINT", "'clustering', 'domainMetadata'", "CLUSTER BY (id)"),
    "column mapping": with_property("columnMapping.mode", "name", "columnMapping"),
    "change data feed": with_property("enableChangeDataFeed", "true", "changeDataFeed"),
    "row tracking": with_property("enableRowTracking", "true", "rowTracking"),
    "times in commits": with_property("enableInCommitTimestamps", "true", "inCommitTimestamp"),
    "type widening": with_property("enableTypeWidening", "true", "typeWidening"),
    "indexed columns": with_property("dataSkippingNumIndexedCols", "3", "'delta.dataSkippingNumIndexedCols'"),
    "v2 checkpoints": with_property("checkpointPolicy", "v2", None),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_tables_that_spark_must_write(spark: SparkSession, tmp_path: Path, name: str) -> None:
    SPECIAL[name].create(spark, tmp_path / "out")
    schema = StructType([StructField("id", LongType())])

    found = why_not_commit(Target(tmp_path / "out", "append", (), "night", "run_id"), schema)

    reason = SPECIAL[name].reason
    assert reason in str(found) if reason else found is None


@pytest.mark.long
@pytest.mark.parametrize("name", SPECIAL)
def test_such_tables_take_the_rows(spark: SparkSession, publish: Publish, tmp_path: Path, name: str) -> None:
    table, rows = tmp_path / "out", SPECIAL[name].rows
    SPECIAL[name].create(spark, table)
    reason = why_not_commit(Target(table, "append", (), "one", "run_id"), from_arrow(rows.schema))

    published = publish(table, "one", rows)

    writer = "worker" if SPECIAL[name].reason is None else "spark"
    assert (published.writer, published.writer_reason, published.rows) == (writer, reason, 2)
    assert log_of(table, 1)["commitInfo"]["engineInfo"].startswith("delta-rs" if writer == "worker" else "Apache-Spark")
    with pinned_settings(spark):
        found = load(spark, table).select(*rows.column_names).toArrow().sort_by("id")
    assert found.to_pylist() == rows.sort_by("id").to_pylist()


def write_first_commit(table: Path, reader_features: list[str]) -> None:
    """Write the log of an empty table that a catalog manages."""
    fields = [{"name": name, "type": type_, "nullable": True, "metadata": {}} for name, type_ in MANAGED.items()]
    protocol: dict[str, Any] = {"minReaderVersion": 3 if reader_features else 1, "minWriterVersion": 7}
    protocol |= {"readerFeatures": reader_features} if reader_features else {}
    metadata = {
        "id": "a4c1e2b0-0000-4000-8000-000000000000",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": fields}),
        "partitionColumns": [],
        "configuration": {"delta.enableInCommitTimestamps": "true"},
    }
    actions = [
        {"commitInfo": {"inCommitTimestamp": 1, "operation": "CREATE TABLE", "operationParameters": {}}},
        {"protocol": protocol | {"writerFeatures": ["catalogManaged", "inCommitTimestamp", "vacuumProtocolCheck"]}},
        {"metaData": metadata},
    ]
    (table / "_delta_log").mkdir(parents=True)
    (table / "_delta_log" / f"{0:020}.json").write_text("\n".join(map(json.dumps, actions)))


MANAGED = {"id": "long", "run_id": "string"}


@pytest.mark.parametrize("reader_features", [[], ["catalogManaged", "vacuumProtocolCheck"]])
def test_nobody_commits_to_a_table_that_a_catalog_manages(
    publish: Publish, tmp_path: Path, reader_features: list[str]
) -> None:
    table = tmp_path / "out"
    write_first_commit(table, reader_features)

    reason = why_not_commit(Target(table, "append", (), "one", "run_id"), from_arrow(IDS.schema))
    with pytest.raises(SinkError, match="PATH_BASED_ACCESS_TO_CATALOG_MANAGED_TABLE_BLOCKED"):
        publish(table, "one", IDS)

    assert "catalogmanaged" in str(reason).lower().replace("-", "")
    assert [path.name for path in (table / "_delta_log").iterdir()] == [f"{0:020}.json"]
    assert not list(table.glob("*.parquet"))


def test_tables_with_other_features_are_sparks(spark: SparkSession, publish: Publish, tmp_path: Path) -> None:
    table = tmp_path / "out"
    columns = "(id BIGINT, label STRING, score DOUBLE, run_id STRING)"
    feature = "'delta.feature.domainMetadata' = 'supported'"
    spark.sql(f"CREATE TABLE delta.`{table}` {columns} USING delta TBLPROPERTIES ({feature})")

    published = publish(table, "one")

    assert published.writer == "spark"
    assert "'domainMetadata'" in str(published.writer_reason)
    assert load(spark, table).count() == 3
    with pytest.raises(ConfigError, match=r"\[OUTPUT_WRITER\].*'domainMetadata'.*output.writer: auto"):
        publish(table, "two", writer="worker")


@pytest.mark.long
def test_a_table_that_changes_while_the_run_scores_is_written_by_spark(
    spark: SparkSession, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "out"
    publish(table, "one")
    make = Commit.make

    def after_a_change(self: Commit) -> int | None:
        monkeypatch.undo()
        spark.sql(f"ALTER TABLE delta.`{table}` ADD CONSTRAINT positive CHECK (id > 0)")
        return make(self)

    monkeypatch.setattr(Commit, "make", after_a_change)
    published = publish(table, "two")

    assert (published.writer, published.rows) == ("spark", 3)
    assert "checkConstraints" in str(published.writer_reason)
    assert load(spark, table).count() == 6


def test_a_run_that_spark_committed_is_not_committed_again(
    spark: SparkSession, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one whose driver lost Spark's answer."""
    table = tmp_path / "out"
    make = Commit.make

    def after_sparks_commit(self: Commit) -> int | None:
        app = {"txnAppId": self.app_id, "txnVersion": "1", "userMetadata": '{"run_id": "one"}'}
        files = [str(self.staged.folder / file.path) for file in self.files]
        spark.read.parquet(*files).write.format("delta").options(**app).save(str(table))
        return make(self)

    monkeypatch.setattr(Commit, "make", after_sparks_commit)
    published = publish(table, "one")

    assert (published.version, published.rows) == (0, 3)
    assert load(spark, table).count() == 3


def test_spark_publishes_where_the_files_cannot_be_committed(
    spark: SparkSession, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise CannotCommitError("no", is_conflict=True)

    monkeypatch.setattr(Commit, "_commit", fails)
    monkeypatch.setattr("sparkscore.sinks.delta._PAUSE_S", 0.01)
    published = publish(tmp_path / "out", "one")

    files = {Path(uri).name for uri in deltalake.DeltaTable(str(tmp_path / "out")).file_uris()}
    assert (published.writer, published.writer_reason) == ("spark", "no")
    assert {path.name for path in (tmp_path / "out").glob("*.parquet")} == files
    assert load(spark, tmp_path / "out").count() == 3


def test_sessions_with_properties_for_new_tables_are_obeyed(
    spark: SparkSession, publish: Publish, tmp_path: Path
) -> None:
    spark.conf.set("spark.databricks.delta.properties.defaults.enableDeletionVectors", "true")
    try:
        published = publish(tmp_path / "out", "one")
    finally:
        spark.conf.unset("spark.databricks.delta.properties.defaults.enableDeletionVectors")

    assert (published.writer, published.writer_reason) == ("spark", "the session has properties for new tables")


def test_a_stage_elsewhere_is_linked_too(publish: Publish, tmp_path: Path) -> None:
    published = publish(tmp_path / "out", "one", stage=str(tmp_path / "scratch"))

    assert published.writer == "worker"
    assert not list((tmp_path / "scratch").rglob("*.parquet"))
    assert deltalake.DeltaTable(str(tmp_path / "out")).to_pyarrow_table().num_rows == 3
