"""Describe the columns of a Parquet file as its footer defines them. Runs on the driver and the workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.signature.same_name import keys_of

_SPARK_PREFIX: Final = b"org.apache.spark"
_SPARK_VERSION: Final = b"org.apache.spark.version"
_ARROW_SCHEMA: Final = b"ARROW:schema"
_SPARK_SCHEMA: Final = b"org.apache.spark.sql.parquet.row.metadata"
# Source: Spark's DataSourceUtils.datetimeRebaseSpec and int96RebaseSpec, which compare the versions as strings.
_FIRST_CORRECTED: Final = (
    (b"org.apache.spark.legacyDateTime", b"3.0.0"),
    (b"org.apache.spark.legacyINT96", b"3.1.0"),
)


class UnreadableError(Exception):
    """Raised if values might differ from those that Spark's reader gives. The message is a phrase that says why."""


@dataclass(frozen=True)
class Leaf:
    """A column of stored values: a column of the file that is not nested, or a part of a nested column.

    Attributes:
        path: the name of the column and, for a nested column, the names of its parts, joined with dots.
        physical: the stored type, such as ``INT64``.
        logical: the meaning of the stored values, such as ``String``, or the string ``None``.
        length: the number of bytes of each value if the type has a fixed length, otherwise 0.
    """

    path: str
    physical: str
    logical: str
    length: int


@dataclass(frozen=True)
class StoredColumn:
    """A column of a Parquet file.

    Attributes:
        field: the column's name and type, as Arrow reads it.
        leaves: the stored values of the column, in file order.
    """

    field: pa.Field
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True)
class StoredFile:
    """The parts of a Parquet file's footer that determine which values a reader gives.

    Attributes:
        schema: the columns, as Arrow reads them.
        leaves: the stored values of all columns, in file order.
        codecs: the compression codecs of the first row group.
        is_by_spark: whether Spark wrote the file.
        is_legacy: whether Spark wrote dates and times before 1582 in the hybrid calendar of Spark 2. Spark's reader
            converts them.
        null_lists: the columns with lists of a fixed length in which a list may be NULL. PyArrow cannot read them.
        spark_schema: the schema that Spark stored in the file, as JSON, or an empty string. If there is one, Spark uses
            it instead of the types in the file.
    """

    schema: pa.Schema
    leaves: tuple[Leaf, ...]
    codecs: frozenset[str]
    is_by_spark: bool
    is_legacy: bool
    null_lists: frozenset[str]
    spark_schema: str

    def columns(self) -> dict[str, StoredColumn]:
        """Return the columns by name.

        Raises:
            UnreadableError: PyArrow cannot read the columns, or the name of a column does not distinguish it from
                another column or a part of one.
        """
        found: dict[str, StoredColumn] = {}
        start = 0
        for field in self.schema:
            count = leaf_count(field.type)
            found[field.name] = StoredColumn(field, self.leaves[start : start + count])
            start += count
        if start != len(self.leaves):
            raise UnreadableError("columns cannot be read by PyArrow")
        keys = Counter(key for name in self.schema.names for key in keys_of(name))
        # PyArrow selects the leaves whose path is a column's name, or begins with the name and a dot.
        selected = Counter(path for leaf in self.leaves for path in accumulate(leaf.path.split("."), "{}.{}".format))
        for name, column in found.items():
            if any(keys[key] > 1 for key in keys_of(name)) or selected[name] != len(column.leaves):
                raise UnreadableError(f"column '{name}' cannot be told from another one by its name")
        return found


def describe(metadata: pq.FileMetaData) -> StoredFile:
    """Return the parts of a footer that determine which values a reader gives.

    Raises:
        pa.ArrowException: Arrow cannot read the schema.
    """
    leaves = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    texts = metadata.metadata or {}
    version = texts.get(_SPARK_VERSION)
    schema = metadata.schema.to_arrow_schema().remove_metadata()
    return StoredFile(
        schema=schema,
        leaves=tuple(Leaf(leaf.path, leaf.physical_type, str(leaf.logical_type), leaf.length) for leaf in leaves),
        codecs=_codecs_of(metadata),
        is_by_spark=any(key.startswith(_SPARK_PREFIX) for key in texts),
        is_legacy=version is not None and any(key in texts or version < first for key, first in _FIRST_CORRECTED),
        null_lists=_null_lists(metadata, schema),
        spark_schema=texts.get(_SPARK_SCHEMA, b"").decode(errors="replace"),
    )


def layout_key(metadata: pq.FileMetaData) -> Hashable:
    """Return a key for the layout of a footer. If two footers have equal keys, `describe` returns equal results.

    Making a key is faster than calling `describe`.
    The ``repr()`` of the key is the same in all processes with the same version of PyArrow.

    Raises:
        pa.ArrowException: Arrow cannot read the schema.
    """
    schema = metadata.schema.to_arrow_schema().remove_metadata()
    null_lists = tuple(sorted(_null_lists(metadata, schema)))
    return (
        _schema_text(metadata),
        schema.serialize().to_pybytes(),
        _of_spark(metadata),
        _codec_key(metadata),
        null_lists,
    )


def quick_key(metadata: pq.FileMetaData) -> Hashable:
    """Return a key that two footers share only if they share their `layout_key`. Much faster than `layout_key`.

    This does not hold for files for which `is_by_statistics` is true. Files that pandas wrote with different indexes
    have different keys.
    """
    return (
        _schema_text(metadata),
        (metadata.metadata or {}).get(_ARROW_SCHEMA),
        _of_spark(metadata),
        _codec_key(metadata),
        metadata.num_rows > 0,
    )


def is_by_statistics(schema: pa.Schema) -> bool:
    """Return whether a file's layout depends on its statistics: true if a column has lists of a fixed length."""
    return any(_has_fixed_lists(field.type) for field in schema)


def _schema_text(metadata: pq.FileMetaData) -> str:
    # The first line of the text is the address of an object.
    return str(metadata.schema).partition("\n")[2]


def _of_spark(metadata: pq.FileMetaData) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(item for item in (metadata.metadata or {}).items() if item[0].startswith(_SPARK_PREFIX))


def _codec_key(metadata: pq.FileMetaData) -> tuple[str, ...]:
    return tuple(sorted(_codecs_of(metadata)))


def _codecs_of(metadata: pq.FileMetaData) -> frozenset[str]:
    """Return the compression codecs of the first row group."""
    groups = [metadata.row_group(group) for group in range(min(1, metadata.num_row_groups))]
    return frozenset(group.column(index).compression for group in groups for index in range(group.num_columns))


def _null_lists(metadata: pq.FileMetaData, schema: pa.Schema) -> frozenset[str]:
    """Return the columns with lists of a fixed length, except those whose statistics show that no list is NULL."""
    found, start = set(), 0
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    for field in schema:
        end = start + leaf_count(field.type)
        if _has_fixed_lists(field.type):
            chunks = [group.column(leaf) for group in groups for leaf in range(start, end)]
            if any(chunk.statistics is None or chunk.statistics.null_count != 0 for chunk in chunks):
                found.add(field.name)
        start = end
    return frozenset(found)


def _has_fixed_lists(arrow_type: pa.DataType) -> bool:
    if pa.types.is_fixed_size_list(arrow_type):
        return True
    if not pa.types.is_nested(arrow_type):
        return False
    return any(_has_fixed_lists(arrow_type.field(index).type) for index in range(arrow_type.num_fields))


def leaf_count(arrow_type: pa.DataType) -> int:
    """Return the number of leaves that Parquet stores for an Arrow type."""
    if isinstance(arrow_type, pa.BaseExtensionType):
        return leaf_count(arrow_type.storage_type)
    if pa.types.is_map(arrow_type):
        return leaf_count(arrow_type.key_type) + leaf_count(arrow_type.item_type)
    if pa.types.is_nested(arrow_type):
        return sum(leaf_count(arrow_type.field(index).type) for index in range(arrow_type.num_fields))
    return 1
