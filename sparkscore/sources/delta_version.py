"""Read from the log of a Delta table how the rows of one version are stored. Runs on the driver.

Spark tells this only for the newest version. Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sparkscore.errors import names
from sparkscore.parquet.stored import UnreadableError
from sparkscore.spark.delta_log import LOG_ERRORS, METADATA, PROTOCOL, LogFolder, columns_in, find_actions

_FEATURES_OF_READERS: Final = 3
# What these add does not change which rows a version has, or is checked for each file.
_HARMLESS_FEATURES: Final = frozenset(
    {
        *("columnMapping", "deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview"),
        *("v2Checkpoint", "vacuumProtocolCheck"),
    }
)
_MAPPING: Final = "delta.columnMapping."
_EXISTING: Final = "EXISTS_DEFAULT"
# With a setting of the session, Spark finds columns in Parquet files by these numbers instead of names.
_FIELD_IDS: Final = "parquet.field."


@dataclass(frozen=True)
class TableVersion:
    """What the log says about one version of a Delta table.

    Attributes:
        partition_columns: the names of the partition columns.
        fields: the columns, as in the schema that the log has as JSON.
        properties: the properties of the table.
        features: the features that a reader must know. A version of the protocol without features has those that it
            stands for.
    """

    partition_columns: tuple[str, ...]
    fields: tuple[Mapping[str, Any], ...]
    properties: Mapping[str, str]
    features: frozenset[str]

    def with_default(self) -> frozenset[str]:
        """Return the names of the columns that may have a value in rows that were written before the column existed."""
        return frozenset(field["name"] for field in self.fields if _EXISTING in _metadata(field))


def read_version(log: LogFolder, version: int) -> TableVersion:
    """Return what the log says about one version of a table.

    Args:
        log: the table's ``_delta_log`` folder.
        version: the version.

    Raises:
        UnreadableError: the log has not all that is needed, for example because a catalog has a part of it; or it
            cannot be read.
    """
    try:
        found = find_actions(log, version, {PROTOCOL, METADATA})
        metadata = found[METADATA]
        return TableVersion(
            tuple(metadata["partitionColumns"]),
            tuple(columns_in(metadata)),
            dict(metadata["configuration"] or {}),
            _features(found[PROTOCOL]),
        )
    except LOG_ERRORS as error:
        raise UnreadableError(f"version {version} cannot be found in the table's log") from error


def check_version(version: TableVersion, columns: Sequence[str]) -> None:
    """Check that the rows of a version are those of its files, with the names and values that the files have.

    Args:
        version: what the log says about the version.
        columns: the names of the columns that Spark gives.

    Raises:
        UnreadableError: the table has a feature that may change this, or that is not known; or the log has other
            columns than Spark gives.
    """
    found = [field["name"] for field in version.fields]
    if found != list(columns) or not set(version.partition_columns) <= set(columns):
        raise UnreadableError("the columns in the table's log are not those that Spark gives")
    if others := version.features - _HARMLESS_FEATURES:
        raise UnreadableError(f"the Delta table has the features {names(sorted(others))}")
    modes = {value for key, value in version.properties.items() if key.lower() == f"{_MAPPING}mode".lower()}
    if modes - {"none"}:
        raise UnreadableError("the Delta table has column mapping")
    for field in version.fields:
        if special := {key for key in _metadata(field) if _is_special(key)} | _special_inside(field["type"]):
            raise UnreadableError(f"column '{field['name']}' has the properties {names(special)}")


def _is_special(key: str) -> bool:
    """Return whether a property of a column changes how Spark reads it, such as those of ``char(n)`` and collations."""
    return key.startswith(("__", _MAPPING, _FIELD_IDS))


def _special_inside(delta_type: Any) -> set[str]:
    """Return the properties of the fields inside a type that change how Spark reads them."""
    keys = {key for field in _inner_fields(delta_type) for key in _metadata(field)}
    return {key for key in keys if key == _EXISTING or _is_special(key)}


def _metadata(field: Mapping[str, Any]) -> Mapping[str, Any]:
    return field.get("metadata") or {}


def _inner_fields(delta_type: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the fields of all structs inside a type."""
    if not isinstance(delta_type, dict):
        return
    for field in delta_type.get("fields", ()):
        yield field
        yield from _inner_fields(field["type"])
    for part in ("elementType", "keyType", "valueType"):
        yield from _inner_fields(delta_type.get(part))


def _features(protocol: Mapping[str, Any]) -> frozenset[str]:
    version = int(protocol["minReaderVersion"])
    if version > _FEATURES_OF_READERS:
        return frozenset({f"of reader version {version}"})
    if version == _FEATURES_OF_READERS:
        return frozenset(protocol["readerFeatures"])
    return frozenset({"columnMapping"} if version == _FEATURES_OF_READERS - 1 else ())
