"""Check whether a Delta table is plain, so that files may be added to it with delta-rs. Runs on the driver.

A table is plain if a writer needs to do nothing but add files with the table's columns. delta-rs accepts files for some
tables that are not plain, and readers then find wrong values: for example NULL in all columns of a table with column
mapping, or rows that break a CHECK constraint. So everything that is not known to be harmless is refused. Source:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md, 'Requirements for Writers'.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from sparkscore.errors import names

if TYPE_CHECKING:
    from deltalake import DeltaTable

_HARMLESS_FEATURES: Final = frozenset({"appendOnly", "invariants", "deletionVectors", "v2Checkpoint"})
# The features that each writer version added, before tables listed their features by name.
_OF_WRITER_VERSIONS: Final = {
    2: ("appendOnly", "invariants"),
    3: ("checkConstraints",),
    4: ("changeDataFeed", "generatedColumns"),
    5: ("columnMapping",),
    6: ("identityColumns",),
}
_FEATURES_OF_WRITERS: Final = 7
_FEATURES_OF_READERS: Final = 3
# Properties, each with the values that require nothing of a writer that adds files. None stands for any value.
_HARMLESS_PROPERTIES: Final[Mapping[str, frozenset[str] | None]] = {
    "delta.appendonly": None,
    "delta.checkpoint.writestatsasjson": None,
    "delta.checkpoint.writestatsasstruct": None,
    "delta.checkpointinterval": None,
    "delta.checkpointpolicy": None,
    "delta.columnmapping.mode": frozenset({"none"}),
    "delta.deletedfileretentionduration": None,
    "delta.enablechangedatafeed": frozenset({"false"}),
    "delta.enabledeletionvectors": None,
    "delta.enableexpiredlogcleanup": None,
    "delta.enableincommittimestamps": frozenset({"false"}),
    "delta.enablerowtracking": frozenset({"false"}),
    "delta.logretentionduration": None,
    "delta.minreaderversion": None,
    "delta.minwriterversion": None,
}
_PLAIN_TYPES: Final = frozenset(
    {"boolean", "byte", "short", "integer", "long", "float", "double", "string", "binary", "date", "timestamp"}
)
_HARMLESS_METADATA: Final = frozenset({"comment"})


def why_not_plain(table: DeltaTable) -> str | None:
    """Return why files may not be added to a table with delta-rs, for the run record, or None if they may be."""
    if features := _other_features(table):
        return f"the table has the features {names(features)}"
    if properties := _other_properties(table.metadata().configuration):
        return f"the table has the properties {names(properties)}"
    return why_not_plain_columns(json.loads(table.schema().to_json()))


def why_not_plain_columns(schema: Mapping[str, Any]) -> str | None:
    """Return why delta-rs may not write a table with this schema, or None if it may.

    Args:
        schema: the schema as in Delta's log, which is also the result of Spark's ``StructType.jsonValue``.
    """
    for name, reason in _refused_fields(schema["fields"]):
        return f"column '{name}' {reason}"
    return None


def _other_features(table: DeltaTable) -> list[str]:
    protocol = table.protocol()
    writer, reader = protocol.min_writer_version, protocol.min_reader_version
    found = {*(protocol.writer_features or ()), *(protocol.reader_features or ())}
    if writer < _FEATURES_OF_WRITERS:
        found |= {name for version, added in _OF_WRITER_VERSIONS.items() if version <= writer for name in added}
    found |= {"columnMapping"} if reader == _FEATURES_OF_READERS - 1 else set()
    found |= {f"of writer version {writer}"} if writer > _FEATURES_OF_WRITERS else set()
    found |= {f"of reader version {reader}"} if reader > _FEATURES_OF_READERS else set()
    return sorted(found - _HARMLESS_FEATURES)


def _other_properties(properties: Mapping[str, str | None]) -> list[str]:
    return sorted(key for key, value in properties.items() if not _is_harmless(key.lower(), str(value).lower()))


def _is_harmless(key: str, value: str) -> bool:
    if not key.startswith("delta.") or (key.startswith("delta.feature.") and value == "supported"):
        return True  # a user's own property, or a feature, which is checked with the protocol
    allowed = _HARMLESS_PROPERTIES.get(key, frozenset())
    return allowed is None or value in allowed


def _refused_fields(fields: list[dict[str, Any]], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name of each field that is not plain, with the reason."""
    for field in fields:
        name = f"{above}{field['name']}"
        if not field["nullable"]:
            yield name, "is NOT NULL"
        if others := set(field["metadata"]) - _HARMLESS_METADATA:
            yield name, f"has the properties {names(others)}"
        for nested, reason in _refused_types(field["type"]):
            yield f"{name}{nested}", reason


def _refused_types(delta_type: Any) -> Iterator[tuple[str, str]]:
    if isinstance(delta_type, str):
        if delta_type not in _PLAIN_TYPES and not delta_type.startswith("decimal"):
            yield "", f"has the type {delta_type}"
    elif delta_type["type"] == "struct":
        yield from ((f".{name}", reason) for name, reason in _refused_fields(delta_type["fields"]))
    elif delta_type["type"] == "array":
        yield from _refused_items(delta_type["elementType"], delta_type["containsNull"])
    elif delta_type["type"] == "map":
        yield from _refused_types(delta_type["keyType"])
        yield from _refused_items(delta_type["valueType"], delta_type["valueContainsNull"])
    else:
        yield "", f"has the type {delta_type['type']}"


def _refused_items(delta_type: Any, is_nullable: bool) -> Iterator[tuple[str, str]]:  # noqa: FBT001 - as in the log
    if not is_nullable:
        yield "", "has NOT NULL items"
    yield from _refused_types(delta_type)
