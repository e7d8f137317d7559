from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from sparkscore.sinks.delta_plain import why_not_plain, why_not_plain_columns


def field(delta_type: object = "long", *, nullable: bool = True, **metadata: Any) -> dict[str, Any]:
    return {"name": "x", "type": delta_type, "nullable": nullable, "metadata": metadata}


def table(
    reader: int = 1,
    writer: int = 2,
    features: tuple[list[str], list[str]] | None = None,
    fields: list[dict[str, Any]] | None = None,
    **properties: Any,
) -> Any:
    """Return something with the part of delta-rs' table that is looked at."""
    of_reader, of_writer = features or (None, None)
    protocol = SimpleNamespace(
        min_reader_version=reader, min_writer_version=writer, reader_features=of_reader, writer_features=of_writer
    )
    schema = json.dumps({"type": "struct", "fields": fields or [field()]})
    configuration = {f"delta.{key.replace('__', '.')}": value for key, value in properties.items()} | {"owner": "we"}
    return SimpleNamespace(
        protocol=lambda: protocol,
        metadata=lambda: SimpleNamespace(configuration=configuration),
        schema=lambda: SimpleNamespace(to_json=lambda: schema),
    )


def with_property(name: str, value: str) -> Any:
    properties: dict[str, Any] = {name: value}
    return table(**properties)


def with_metadata(name: str, value: object, delta_type: str = "long") -> Any:
    return table(fields=[{**field(delta_type), "metadata": {name: value}}])


@pytest.mark.parametrize(
    "plain",
    [
        table(),
        table(writer=1),
        table(
            3, 7, (["deletionVectors", "v2Checkpoint"], ["deletionVectors", "v2Checkpoint", "appendOnly", "invariants"])
        ),
        table(1, 7, ([], ["appendOnly"])),
        table(appendOnly="true", enableChangeDataFeed="false", columnMapping__mode="none", checkpointInterval="3"),
        table(enableDeletionVectors="true", feature__deletionVectors="supported"),
        table(fields=[field(comment="the number"), field("decimal(38,10)"), field("timestamp")]),
    ],
)
def test_plain_tables(plain: Any) -> None:
    assert why_not_plain(plain) is None


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (table(1, 3), "features 'checkConstraints'"),
        (table(1, 4), "features 'changeDataFeed', 'checkConstraints', 'generatedColumns'"),
        (table(2, 5), "'columnMapping'"),
        (table(2, 2), "features 'columnMapping'"),
        (table(1, 6), "'identityColumns'"),
        (table(1, 8), "features 'of writer version 8'"),
        (table(4, 7, ([], [])), "features 'of reader version 4'"),
        (table(3, 7, (["catalogManaged"], [])), "features 'catalogManaged'"),
        *(
            (table(1, 7, ([], [name])), f"features '{name}'")
            for name in (
                "rowTracking",
                "inCommitTimestamp",
                "clustering",
                "domainMetadata",
                "allowColumnDefaults",
                "new",
            )
        ),
        (table(3, 7, (["timestampNtz"], ["timestampNtz"])), "features 'timestampNtz'"),
        *(
            (with_property(name, value), f"properties 'delta.{name.replace('__', '.')}'")
            for name, value in (
                ("dataSkippingNumIndexedCols", "3"),
                ("dataSkippingStatsColumns", "x"),
                ("constraints__positive", "x > 0"),
                ("columnMapping__mode", "name"),
                ("enableChangeDataFeed", "true"),
                ("setTransactionRetentionDuration", "interval 1 day"),
                ("targetFileSize", "1mb"),
                ("autoOptimize__optimizeWrite", "true"),
                ("isolationLevel", "Serializable"),
                ("feature__clustering", "enabled"),
                ("inventedLater", "true"),
            )
        ),
        (table(fields=[field(nullable=False)]), "column 'x' is NOT NULL"),
        (with_metadata("delta.invariants", "x > 3"), "column 'x' has the properties 'delta.invariants'"),
        (with_metadata("delta.generationExpression", "y"), "'delta.generationExpression'"),
        (with_metadata("delta.identity.start", 1), "'delta.identity.start'"),
        (table(fields=[field(CURRENT_DEFAULT="1")]), "'CURRENT_DEFAULT'"),
        (
            table(fields=[field("string", __CHAR_VARCHAR_TYPE_STRING="varchar(3)")]),
            "'__CHAR_VARCHAR_TYPE_STRING'",
        ),
    ],
)
def test_what_is_not_known_to_be_harmless_is_refused(other: Any, reason: str) -> None:
    assert reason in str(why_not_plain(other))


@pytest.mark.parametrize(
    ("delta_type", "reason"),
    [
        ("timestamp_ntz", "column 'x' has the type timestamp_ntz"),
        ("variant", "column 'x' has the type variant"),
        ("void", "column 'x' has the type void"),
        ({"type": "interval"}, "column 'x' has the type interval"),
        ({"type": "array", "elementType": "long", "containsNull": False}, "column 'x' has NOT NULL items"),
        ({"type": "array", "elementType": "variant", "containsNull": True}, "column 'x' has the type variant"),
        ({"type": "struct", "fields": [field(nullable=False)]}, "column 'x.x' is NOT NULL"),
        (
            {"type": "map", "keyType": "void", "valueType": "long", "valueContainsNull": True},
            "column 'x' has the type void",
        ),
        (
            {"type": "map", "keyType": "long", "valueType": "long", "valueContainsNull": False},
            "column 'x' has NOT NULL items",
        ),
        (
            {"type": "array", "elementType": {"type": "struct", "fields": [field("void")]}, "containsNull": True},
            "column 'x.x' has the type void",
        ),
    ],
)
def test_types_inside_of_types_are_looked_at(delta_type: object, reason: str) -> None:
    assert why_not_plain_columns({"fields": [field(delta_type)]}) == reason
