from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkscore.parquet.stored import UnreadableError
from sparkscore.sources.delta_version import TableVersion, check_version, read_version
from sparkscore.spark.delta_log import FolderOnDisk

PROTOCOL = {"minReaderVersion": 1, "minWriterVersion": 2}


def metadata(name: str = "x", **more: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": "long", "nullable": True, "metadata": more.pop("field", {})}]
    schema = json.dumps({"type": "struct", "fields": fields})
    return {"id": "1", "schemaString": schema, "partitionColumns": [], "configuration": {}, **more}


def commit(log: Path, number: int, **actions: Any) -> None:
    lines = [
        json.dumps({"commitInfo": {"note": 'a "protocol" or "metaData"'}}),
        *(json.dumps({k: actions[k]}) for k in actions),
    ]
    (log / f"{number:020}.json").write_text("\n".join(lines))


def names(found: TableVersion) -> list[str]:
    return [field["name"] for field in found.fields]


def test_each_version_has_its_own_schema_in_commits_and_checkpoints(tmp_path: Path) -> None:
    log = tmp_path / "_delta_log"
    rows = pa.table({"id": [1, 2], "k": ["a", "b"]})
    deltalake.write_deltalake(tmp_path, rows, partition_by=["k"], configuration={"delta.appendOnly": "false"})
    deltalake.write_deltalake(tmp_path, rows.append_column("new", pa.array([1, 2])), schema_mode="merge", mode="append")
    deltalake.write_deltalake(tmp_path, rows.append_column("new", pa.array([1, 2])), mode="append")
    deltalake.DeltaTable(tmp_path).create_checkpoint()
    deltalake.write_deltalake(tmp_path, rows, mode="overwrite", schema_mode="overwrite", partition_by=["k"])

    for is_cleaned in (False, True):
        assert names(read_version(FolderOnDisk(log), 2)) == ["id", "k", "new"]
        assert names(read_version(FolderOnDisk(log), 3)) == ["id", "k"]
        assert read_version(FolderOnDisk(log), 2).partition_columns == ("k",)
        assert read_version(FolderOnDisk(log), 2).properties == {"delta.appendOnly": "false"}
        if not is_cleaned:
            assert names(read_version(FolderOnDisk(log), 0)) == ["id", "k"]
            assert names(read_version(FolderOnDisk(log), 1)) == ["id", "k", "new"]
            for number in range(3):
                (log / f"{number:020}.json").unlink()
    with pytest.raises(UnreadableError, match="version 1 cannot be found"):
        read_version(FolderOnDisk(log), 1)


OPERATIONS = st.sampled_from(["append", "widen", "replace", "property", "checkpoint"])


def operate(table: Path, operation: str, number: int) -> None:
    """Make a version of a table, or a checkpoint of the newest one."""
    present = deltalake.DeltaTable(table)
    rows = pa.table({field.name: pa.array([number]) for field in present.schema().fields})
    if operation == "append":
        deltalake.write_deltalake(table, rows, mode="append")
    elif operation == "widen":
        wider = rows.append_column(f"c{number}", pa.array([number]))
        deltalake.write_deltalake(table, wider, mode="append", schema_mode="merge")
    elif operation == "replace":
        other = pa.table({f"k{number}": [number], "x": [number]})
        deltalake.write_deltalake(
            table, other, mode="overwrite", schema_mode="overwrite", partition_by=present.metadata().partition_columns
        )
    elif operation == "property":
        present.alter.set_table_properties({"delta.logRetentionDuration": f"interval {number} days"})
    else:
        present.create_checkpoint()


def check_versions(table: Path, versions: range) -> None:
    """Compare each version with what delta-rs finds."""
    for number in versions:
        expected = deltalake.DeltaTable(table, version=number)
        found = read_version(FolderOnDisk(table / "_delta_log"), number)
        assert names(found) == [field.name for field in expected.schema().fields]
        assert found.partition_columns == tuple(expected.metadata().partition_columns)
        assert found.properties == expected.metadata().configuration
        assert found.features == frozenset(expected.protocol().reader_features or ())


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(operations=st.lists(OPERATIONS, min_size=1, max_size=7))
def test_each_version_of_random_logs_is_that_of_delta_rs(
    operations: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = tmp_path_factory.mktemp("random")
    deltalake.write_deltalake(table, pa.table({"id": [0], "x": [0]}))
    for number, operation in enumerate(operations, 1):
        operate(table, operation, number)

    newest = deltalake.DeltaTable(table).version()
    check_versions(table, range(newest + 1))
    checkpoints = [int(path.name[:20]) for path in (table / "_delta_log").glob("*.checkpoint.parquet")]
    for number in range(max(checkpoints, default=0)):
        (table / "_delta_log" / f"{number:020}.json").unlink()
    check_versions(table, range(max(checkpoints, default=0), newest + 1))


def test_the_protocol_may_be_older_than_the_schema(tmp_path: Path) -> None:
    commit(tmp_path, 0, protocol=PROTOCOL, metaData=metadata())
    commit(tmp_path, 1, protocol={"minReaderVersion": 3, "readerFeatures": ["deletionVectors"]})
    commit(tmp_path, 2, metaData=metadata("y"))
    commit(tmp_path, 3, add={"path": "protocol", "metaData": None})

    found = [read_version(FolderOnDisk(tmp_path), number) for number in range(4)]

    assert [(each.features, names(each)) for each in found] == [
        (frozenset(), ["x"]),
        (frozenset({"deletionVectors"}), ["x"]),
        (frozenset({"deletionVectors"}), ["y"]),
        (frozenset({"deletionVectors"}), ["y"]),
    ]  # fmt: skip


def test_names_of_actions_may_be_escaped_and_actions_empty(tmp_path: Path) -> None:
    commit(tmp_path, 0, protocol=PROTOCOL, metaData=metadata())
    commit(tmp_path, 1, metaData=metadata("y"), protocol={"minReaderVersion": 3, "readerFeatures": ["new"]})
    newest = tmp_path / f"{1:020}.json"
    text = newest.read_text().replace('{"protocol', '{"p\\u0072otocol').replace('{"metaData', '{"\\u006detaData')
    newest.write_text(f'{text}\n{{"add": {{}}, "protocol": null, "metaData": null}}')

    found = read_version(FolderOnDisk(tmp_path), 1)

    assert "\\u0072" in newest.read_text()
    assert (names(found), found.features) == (["y"], frozenset({"new"}))


def checkpoint_of_parts(log: Path, count: int, parts: int) -> None:
    kinds = {"minReaderVersion": pa.int32(), "readerFeatures": pa.list_(pa.string())}
    protocol = pa.array([{"minReaderVersion": 1, "readerFeatures": None}, None], pa.struct(list(kinds.items())))
    found = metadata("old", configuration=[("a", "b")])
    types = {
        "schemaString": pa.string(),
        "partitionColumns": pa.list_(pa.string()),
        "configuration": pa.map_(pa.string(), pa.string()),
    }
    meta = pa.array([None, {name: found[name] for name in types}], pa.struct(list(types.items())))
    table = pa.table({"protocol": protocol, "metaData": meta})
    for part in range(parts):
        pq.write_table(table.slice(part, 1), log / f"{5:020}.checkpoint.{part + 1:010}.{count:010}.parquet")


def test_a_checkpoint_in_parts_needs_all_of_them(tmp_path: Path) -> None:
    checkpoint_of_parts(tmp_path, 2, 1)
    with pytest.raises(UnreadableError):
        read_version(FolderOnDisk(tmp_path), 5)

    checkpoint_of_parts(tmp_path, 2, 2)
    found = read_version(FolderOnDisk(tmp_path), 5)
    assert (names(found), found.properties, found.features) == (["old"], {"a": "b"}, frozenset())


def test_a_checkpoint_may_be_json(tmp_path: Path) -> None:
    name = f"{7:020}.checkpoint.{'0' * 8}-{'1' * 4}-{'2' * 4}-{'3' * 4}-{'4' * 12}.json"
    lines = [{"checkpointMetadata": {"version": 7}}, {"protocol": PROTOCOL}, {"metaData": metadata("v2")}]
    (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))
    commit(tmp_path, 8)

    assert names(read_version(FolderOnDisk(tmp_path), 8)) == ["v2"]


@pytest.mark.parametrize(
    "text", ["", "{", '["protocol"]', '{"metaData": {}}', '{"protocol": 1}\n{"metaData": {"schemaString": "[]"}}']
)
def test_a_log_that_cannot_be_read_is_left_to_spark(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{0:020}.json").write_text(text)

    for version in (0, 1):
        with pytest.raises(UnreadableError, match=f"version {version} cannot be found in the table's log"):
            read_version(FolderOnDisk(tmp_path), version)
    with pytest.raises(UnreadableError):
        read_version(FolderOnDisk(tmp_path / "missing"), 0)


def version_of(**actions: Any) -> TableVersion:
    """Return what a log with one commit says."""
    protocol = {**PROTOCOL, **actions.pop("protocol", {})}
    fields = actions.pop("fields", [{"name": "x", "type": "long", "metadata": {}}])
    features = frozenset(protocol.get("readerFeatures", ()))
    return TableVersion((), tuple(fields), actions.pop("properties", {}), features)


def columns_of(version: TableVersion) -> list[str]:
    return [field["name"] for field in version.fields]


STRUCT = {"type": "struct", "fields": [{"name": "a", "type": "long", "metadata": {"EXISTS_DEFAULT": "1"}}]}


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (version_of(protocol={"readerFeatures": ["variantType", "new", "v2Checkpoint"]}), "'new', 'variantType'"),
        (version_of(properties={"delta.columnmapping.mode": "id"}), "column mapping"),
        (
            version_of(fields=[{"name": "c", "type": "string", "metadata": {"__CHAR_VARCHAR_TYPE_STRING": "char(3)"}}]),
            "column 'c' has the properties '__CHAR_VARCHAR_TYPE_STRING'",
        ),
        (
            version_of(fields=[{"name": "c", "type": "long", "metadata": {"delta.columnMapping.id": 1}}]),
            "'delta.columnMapping.id'",
        ),
        (
            version_of(fields=[{"name": "c", "type": "long", "metadata": {"parquet.field.id": 1}}]),
            "'parquet.field.id'",
        ),
        (
            version_of(fields=[{"name": "c", "type": {"type": "array", "elementType": STRUCT}, "metadata": {}}]),
            "'EXISTS_DEFAULT'",
        ),
        (
            version_of(
                fields=[{"name": "c", "type": {"type": "map", "keyType": "long", "valueType": STRUCT}, "metadata": {}}]
            ),
            "'EXISTS_DEFAULT'",
        ),
    ],
)
def test_what_changes_the_values_is_left_to_spark(version: TableVersion, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        check_version(version, columns_of(version))


@pytest.mark.parametrize(("partition", "columns"), [("X", ["x"]), ("x", ["X"]), ("x", ["x", "y"]), ("x", [])])
def test_a_log_with_other_columns_than_spark_gives_is_left_to_it(partition: str, columns: list[str]) -> None:
    with pytest.raises(UnreadableError, match="the columns in the table's log are not those that Spark gives"):
        check_version(replace(version_of(), partition_columns=(partition,)), columns)


@pytest.mark.parametrize(
    ("reader", "features"), [(1, frozenset()), (2, {"columnMapping"}), (4, {"of reader version 4"})]
)
def test_versions_of_the_protocol_stand_for_features(tmp_path: Path, reader: int, features: frozenset[str]) -> None:
    commit(tmp_path, 0, protocol={"minReaderVersion": reader}, metaData=metadata())

    assert read_version(FolderOnDisk(tmp_path), 0).features == features


def test_what_only_writers_need_to_know_does_not_matter(tmp_path: Path) -> None:
    field = {"comment": "c", "delta.generationExpression": "1", "CURRENT_DEFAULT": "1", "EXISTS_DEFAULT": "1"}
    features = [
        "deletionVectors",
        "columnMapping",
        "timestampNtz",
        "v2Checkpoint",
        "vacuumProtocolCheck",
        "typeWidening",
    ]
    commit(
        tmp_path,
        0,
        protocol={"minReaderVersion": 3, "readerFeatures": features},
        metaData=metadata(field=field, configuration={"delta.columnMapping.mode": "none"}),
    )
    found = read_version(FolderOnDisk(tmp_path), 0)

    check_version(found, ["x"])

    assert found.with_default() == {"x"}
