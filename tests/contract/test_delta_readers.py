"""The workers read the rows of Delta tables that Spark's reader gives, or there is a reason why Spark must read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sparkscore.config import Input
from sparkscore.parquet.keys import NULL_KEY
from sparkscore.sources import Source, open_source
from sparkscore.sources.delta_files import group_by_file
from tests.support.both_readers import check_same_rows, texts_of
from tests.support.settings import session_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Make = Callable[..., Source]
#: More rounds than in `make test`, for a longer search.
ROUNDS = int(os.environ.get("DELTA_READER_ROUNDS", "2"))


@pytest.fixture
def make(spark: SparkSession, tmp_path: Path) -> Make:
    """Return a function that runs statements, in which ``{t}`` is a table, and opens the table."""
    place = tmp_path / "a b%20é" / "table"

    def run(*statements: str, **more: Any) -> Source:
        for statement in statements:
            spark.sql(statement.format(t=f"delta.`{place}`", copy=f"delta.`{place}-copy`"))
        location = str(more.pop("location", place))
        config = Input.model_validate({"location": [location], "format": "delta", **more})
        return open_source(spark, config, is_files_by_default=False)

    return run


ALL_KEYS = """
    CREATE TABLE {t} USING delta
    PARTITIONED BY (tiny, small, number, big, single, double, dec, text, flag, day, at, local)
    AS SELECT id, id * 2 AS twice, k.* FROM range(0, 9, 1, 1) JOIN (
        SELECT 0 AS which, 1Y AS tiny, 2S AS small, 3 AS number, 4L AS big, 1.5F AS single, double('NaN') AS double,
               CAST(1.50 AS DECIMAL(38, 10)) AS dec, '' AS text, true AS flag, DATE'0001-01-01' AS day,
               TIMESTAMP'2026-11-01 05:30:00.123456Z' AS at, TIMESTAMP_NTZ'2026-03-08 02:30:00' AS local
        UNION ALL SELECT 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        UNION ALL SELECT 2, -128Y, 32767S, -2147483648, 9223372036854775807L, float('-Infinity'), 5e-324D,
               CAST(-0.0000000001 AS DECIMAL(38, 10)), 'a b/c%20=é\\'', false, DATE'9999-12-31',
               TIMESTAMP'1582-10-10 00:00:00Z', TIMESTAMP_NTZ'1500-01-01 12:00:00.5'
    ) AS k ON id % 3 = which
"""


def test_partition_columns_of_every_type_are_read_alike(spark: SparkSession, make: Make) -> None:
    source = make(ALL_KEYS, "INSERT INTO {t} SELECT id + 100, * EXCEPT (id) FROM {t}")

    found = check_same_rows(source)

    assert found is not None
    assert set(found["text"].to_pylist()) == {None, "a b/c%20=é'"}  # Delta stores an empty text as NULL
    # With its times in UTC, the log says the same to a session of another time zone.
    with session_settings(spark, {"spark.sql.session.timeZone": "America/New_York"}):
        elsewhere = check_same_rows(make())
    assert elsewhere is not None
    assert elsewhere.schema.equals(found.schema)
    assert texts_of(elsewhere) == texts_of(found)


def test_the_rows_are_not_sorted_to_find_the_files(spark: SparkSession, make: Make) -> None:
    source = make(
        "CREATE TABLE {t} USING delta PARTITIONED BY (k, n, d) AS SELECT id, 'a' AS k, 1.5 AS n, 2D AS d FROM range(9)"
    )
    frame = spark.read.format("delta").load(str(source.snapshot.location))

    found = group_by_file(frame, ["k", "n", "d"])

    plan = found._jdf.queryExecution().executedPlan().toString()
    assert "HashAggregate" in plan
    assert "Sort" not in plan
    with session_settings(spark, {"spark.sql.retainGroupColumns": "false"}):
        assert "retainGroupColumns" in str(make().planned_rows())


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)
TYPES = {
    "text": (pa.string(), TEXTS),
    "big": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "double": (pa.float64(), st.floats()),
    "single": (pa.float32(), st.floats(width=32)),
    "dec": (pa.decimal128(9, 4), st.decimals(-99999, 99999, places=4)),
    "day": (pa.date32(), st.dates()),
    "at": (pa.timestamp("us", "UTC"), st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)),
    "local": (pa.timestamp("us"), st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)),
}
KEYS = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in TYPES.items()})


# Without shrinking, which takes minutes with Spark.
@settings(
    max_examples=ROUNDS, derandomize=ROUNDS == 2, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(keys=st.lists(KEYS, min_size=6, max_size=6))
@pytest.mark.long
def test_random_partition_values_are_read_alike(
    keys: list[dict[str, Any]], spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    columns = {name: pa.array([key[name] for key in keys], type_) for name, (type_, _) in TYPES.items()}
    place = tmp_path_factory.mktemp("random") / "table"
    rows = spark.createDataFrame(pa.table({"id": range(len(keys)), **columns}))
    rows.coalesce(1).write.format("delta").partitionBy(*TYPES).save(str(place))

    assert check_same_rows(open_source(spark, Input(location=(str(place),)), is_files_by_default=False)) is not None


def test_times_without_a_zone_in_the_log_are_read_alike(spark: SparkSession, make: Make, tmp_path: Path) -> None:
    moments = pa.array([0, 1_762_000_000_123_456, None], pa.timestamp("us", "UTC"))
    table = pa.table({"id": range(3), "at": moments, "text": ["", "x", None]})
    deltalake.write_deltalake(tmp_path / "table", table, partition_by=["at", "text"])

    assert check_same_rows(make(location=tmp_path / "table")) is not None
    zone = "America/New_York"
    with session_settings(spark, {"spark.sql.session.timeZone": zone}):
        assert check_same_rows(make(location=tmp_path / "table", options={"timeZone": zone})) is not None


@pytest.mark.long
def test_files_of_earlier_schemas_and_versions_are_read_alike(make: Make) -> None:
    source = make(
        "CREATE TABLE {t} (id BIGINT NOT NULL, n TINYINT, s STRUCT<a: INT>, l ARRAY<STRUCT<a: INT>>) USING delta "
        "TBLPROPERTIES ('delta.enableTypeWidening' = 'true')",
        "INSERT INTO {t} VALUES (1, 1, struct(1), array(struct(1), NULL)), (2, NULL, NULL, NULL)",
        "ALTER TABLE {t} ALTER COLUMN n TYPE SMALLINT",
        "INSERT INTO {t} VALUES (3, 300, struct(NULL), array())",
        "ALTER TABLE {t} ADD COLUMNS (s.b STRING FIRST, l.element.b STRING, new DOUBLE AFTER id)",
        "ALTER TABLE {t} ALTER COLUMN n TYPE INT",
        "INSERT INTO {t} VALUES (4, 0.5D, 70000, struct('x', 4), array(struct(4, 'y')))",
        "ALTER TABLE {t} ALTER COLUMN n TYPE BIGINT",
        "INSERT INTO {t} VALUES (5, NULL, 9223372036854775807, NULL, NULL)",
        "INSERT OVERWRITE {t} SELECT * FROM {t} WHERE id < 0",
        version=8,
    )

    found = check_same_rows(source)

    assert found is not None
    assert found.sort_by("id")["n"].to_pylist() == [1, None, 300, 70000, 2**63 - 1]
    older = check_same_rows(make(version=3))
    assert older is not None
    assert older.schema.names == ["id", "n", "s", "l"]


@pytest.mark.long
def test_another_layout_of_the_newest_version_does_not_matter(spark: SparkSession, make: Make) -> None:
    make("CREATE TABLE {t} USING delta PARTITIONED BY (k) AS SELECT id, 'x' AS k, id AS at FROM range(3)")
    location = make().snapshot.location
    spark.range(2).selectExpr("id", "current_timestamp() AS at").write.format("delta").mode("overwrite").partitionBy(
        "at"
    ).option("overwriteSchema", "true").save(str(location))

    found = check_same_rows(make(version=0))

    assert found is not None
    assert found["k"].to_pylist() == ["x"] * 3
    assert check_same_rows(make()) is not None


@pytest.mark.long
@pytest.mark.parametrize("policy", ["classic", "v2"])
def test_the_log_is_read_from_checkpoints_of_both_kinds(make: Make, policy: str) -> None:
    source = make(
        "CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.checkpointInterval' = '2', "
        "'delta.checkpointPolicy' = 'POLICY') AS SELECT id FROM range(3)".replace("POLICY", policy),
        *["INSERT INTO {t} SELECT id + 10 FROM range(2)"] * 3,
    )
    log = Path(str(source.snapshot.location)) / "_delta_log"
    assert list(log.glob("*2.checkpoint*"))
    for number in (0, 1):
        (log / f"{number:020}.json").unlink()

    found = check_same_rows(make())

    assert found is not None
    assert found.num_rows == 9


@pytest.mark.long
def test_features_that_do_not_change_the_rows_are_read_alike(make: Make) -> None:
    create = "CREATE OR REPLACE TABLE {t} USING delta TBLPROPERTIES ('delta.%s' = 'true') AS SELECT id FROM range(4)"
    for name in ("enableRowTracking", "enableInCommitTimestamps", "enableChangeDataFeed"):
        assert check_same_rows(make(create % name, "UPDATE {t} SET id = 9 WHERE id = 2")) is not None, name
    columns = "id BIGINT GENERATED BY DEFAULT AS IDENTITY, at TIMESTAMP, d DATE GENERATED ALWAYS AS (CAST(at AS DATE))"
    generated = f"CREATE TABLE {{copy}} ({columns}) USING delta CLUSTER BY (d)"
    location = f"{make().snapshot.location}-copy"
    rows = "INSERT INTO {copy} (at) VALUES (TIMESTAMP'2020-01-01 23:00:00Z'), (NULL)"
    assert check_same_rows(make(generated, rows, "OPTIMIZE {copy}", location=location)) is not None


@pytest.mark.long
def test_compacted_commits_and_purged_rows_are_read_alike(make: Make) -> None:
    source = make(
        "CREATE TABLE {t} USING delta TBLPROPERTIES ('delta.enableDeletionVectors' = 'true') AS "
        "SELECT id FROM range(0, 9, 1, 1)",
        "DELETE FROM {t} WHERE id = 3",
        "INSERT INTO {t} VALUES (100)",
    )
    assert "are deleted" in str(source.planned_rows())
    log = Path(str(source.snapshot.location)) / "_delta_log"
    lines = [line for number in (1, 2) for line in (log / f"{number:020}.json").read_text().splitlines()]
    actions = [line for line in lines if "commitInfo" not in line]
    (log / f"{1:020}.{2:020}.compacted.json").write_text("\n".join(actions))

    found = check_same_rows(make("REORG TABLE {t} APPLY (PURGE)"))

    assert found is not None
    assert sorted(found["id"].to_pylist()) == [0, 1, 2, 4, 5, 6, 7, 8, 100]


@pytest.mark.long
def test_the_files_of_a_shallow_clone_are_found(make: Make) -> None:
    source = make(
        "CREATE TABLE {t} USING delta PARTITIONED BY (k) AS SELECT id, id % 2 AS k FROM range(4)",
        "CREATE TABLE {copy} SHALLOW CLONE {t}",
        "INSERT INTO {copy} VALUES (9, 7)",
    )

    found = check_same_rows(make(location=f"{source.snapshot.location}-copy"))

    assert found is not None
    assert sorted(found["id"].to_pylist()) == [0, 1, 2, 3, 9]


def test_the_files_of_a_log_by_another_writer_are_found(make: Make, tmp_path: Path) -> None:
    table, elsewhere = tmp_path / "written", tmp_path / "out side" / "a%20b é#?.parquet"
    inside = table / "k=a%2520b" / "f +.parquet"
    for number, file in enumerate((elsewhere, inside)):
        file.parent.mkdir(parents=True)
        pq.write_table(pa.table({"id": [number, number + 10], "K": ["in the file", None]}), file)
    deltalake.write_deltalake(table, pa.table({"id": [99], "k": ["x"]}), partition_by=["k"])
    paths = {f"file://{quote(str(elsewhere))}": NULL_KEY, quote("k=a%2520b/f +.parquet"): "a b"}
    keys = {path: {"k": key} for path, key in paths.items()}
    sizes = [file.stat().st_size for file in (elsewhere, inside)]
    add_files(table / "_delta_log", keys, sizes)

    found = check_same_rows(make(location=table))

    assert found is not None
    assert sorted(found["id"].to_pylist()) == [0, 1, 10, 11, 99]
    assert {"a b", "x"} < set(found["k"].to_pylist())


def add_files(log: Path, keys: Mapping[str, Mapping[str, str]], sizes: Sequence[int]) -> None:
    """Commit files to a table as another writer may do it, with any paths and values of partition columns."""
    common = {"modificationTime": 1, "dataChange": True}
    adds = [
        {"add": {"path": path, "partitionValues": found, "size": size, **common}}
        for (path, found), size in zip(keys.items(), sizes, strict=True)
    ]
    number = len(list(log.glob("*.json")))
    (log / f"{number:020}.json").write_text("\n".join(map(json.dumps, adds)))


WITH = "CREATE TABLE {t} (id BIGINT, x INT, c %s) USING delta TBLPROPERTIES (%s)"
PLAIN = "'a' = 'b'"
OF_SPARK = {
    "deleted rows": (
        (
            WITH % ("INT", "'delta.enableDeletionVectors' = 'true'"),
            "INSERT INTO {t} SELECT id, 1, 2 FROM range(0, 9, 1, 1)",
        ),
        ("DELETE FROM {t} WHERE id = 3",),
        "are deleted",
    ),
    "column mapping by name": (
        (WITH % ("INT", PLAIN), "INSERT INTO {t} VALUES (1, 2, 3)"),
        (
            "ALTER TABLE {t} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
            "ALTER TABLE {t} RENAME COLUMN x TO y",
        ),
        "column mapping",
    ),
    "column mapping by id": ((), (WITH % ("INT", "'delta.columnMapping.mode' = 'id'"),), "column mapping"),
    "char": ((), (WITH % ("CHAR(3)", PLAIN),), "CHAR_VARCHAR"),
    "varchar": ((), (WITH % ("VARCHAR(3)", PLAIN),), "CHAR_VARCHAR"),
    "char in a struct": ((), (WITH % ("STRUCT<a: CHAR(3)>", PLAIN),), "CHAR_VARCHAR"),
    "variant": ((), (WITH % ("VARIANT", PLAIN),), "'variantType'"),
    "widened floats": (
        (WITH % ("FLOAT", "'delta.enableTypeWidening' = 'true'"), "INSERT INTO {t} VALUES (1, 2, 3)"),
        ("ALTER TABLE {t} ALTER COLUMN c TYPE DOUBLE",),
        "column 'c' is stored as float",
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", OF_SPARK)
def test_tables_that_only_spark_reads_are_left_to_it(make: Make, name: str) -> None:
    before, statements, reason = OF_SPARK[name]
    if before:
        assert check_same_rows(make(*before)) is not None
        source = make(*statements)
    else:
        source = make(*statements, "INSERT INTO {t} SELECT id, 1, NULL FROM range(3)")

    assert reason in str(source.planned_rows())
    if before:  # the earlier version can still be read
        assert check_same_rows(make(version=1)) is not None
