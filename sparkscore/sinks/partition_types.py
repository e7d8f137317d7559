"""Check the types of partition columns, whose values become names of folders. Runs on the driver."""

from __future__ import annotations

from typing import Final

from pyspark.sql.types import BinaryType, BooleanType, DateType, IntegralType, StringType, StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SinkSchemaError
from sparkscore.sinks.target import Target

#: Types whose values every reader can convert back from folder names.
FOLDER_TYPES: Final = (StringType, IntegralType, BooleanType, DateType)


def refuse_binary_partitions(target: Target, schema: StructType) -> None:
    """Raise an error if a partition column is binary, because folder names cannot contain arbitrary bytes.

    Args:
        target: the output with the partition columns.
        schema: the result columns.

    Raises:
        SinkSchemaError: a partition column is binary.
    """
    for name in target.partition_by:
        if isinstance(schema[name].dataType, BinaryType):
            raise SinkSchemaError(
                code=ErrorCode.OUTPUT_PARTITION_TYPE,
                what=f"partition column '{name}'",
                got="binary",
                expected="a type whose text names a folder",
                next_step="Partition by another column.",
            )
