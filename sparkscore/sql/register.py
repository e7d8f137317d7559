"""Register SQL functions in a Spark session. Runs on the driver.

What is nested in the functions below runs on the workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession, functions
from pyspark.sql.types import StructType

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.run.no_code import task_cores
from sparkscore.spark.connect import working_on
from sparkscore.spark.errors import SPARK_ERRORS, explain_spark_error
from sparkscore.spark.prerequisites import check_spark_version
from sparkscore.spark.row_counts import RowCounter
from sparkscore.spark.schema import from_arrow
from sparkscore.spark.shipping import ship_package, shipped_folder
from sparkscore.sql.delivery import delivery_of
from sparkscore.sql.function import SqlFunction, prepare_function
from sparkscore.sql.names import DESCRIBE, STRUCT, TABLE
from sparkscore.sql.signature import STATE
from sparkscore.sql.spec import function_spec
from sparkscore.worker.sql_call import FunctionSpec, call_function, call_with_struct
from sparkscore.worker.sql_pandas import call_from_pandas, call_with_frame, refuse_types
from sparkscore.worker.sql_table import TableRows

logger = logging.getLogger("sparkscore")

_WITHOUT_ARROW: Final = "4.0."
# The names that this process has registered in each session, each with the function that it belongs to. A function may
# be registered again, for a new version.
_registered: WeakKeyDictionary[SparkSession, dict[str, str]] = WeakKeyDictionary()


def register_function(
    spark: SparkSession, name: str | None, scorer: str | Path, *, settings: Mapping[str, object] | None = None
) -> SqlFunction:
    """Register a model or a deployment as an SQL function, so that queries of this session can score rows.

    Runs on the driver. Temporary functions are registered: ``<name>`` takes the model's columns by position or by name,
    ``<name>_struct`` takes them as the fields of a struct, and ``<name>_describe`` returns the description. If a script
    may return any number of rows, and Spark is 4.1 or later, ``<name>_table`` takes and returns a table. The model's
    alias is resolved now; register the function again for a newer version.

    Args:
        spark: the session, classic or Spark Connect.
        name: name of the function. If None, the name of the deployment or the model is used.
        scorer: path of a deployment file (``.yml``), or path or MLflow reference of a model.
        settings: deployment settings by dotted name, for example ``{"sql.on_error": "raise"}``.

    Returns:
        the function, whose ``describe()`` returns its description.

    Raises:
        ConfigError: the name cannot be used or is taken, or the arguments or results of the function are not known.
        SparkscoreError: the deployment or the model cannot be used.
    """
    return register(spark, prepare_function(name, scorer, settings))


def register(spark: SparkSession, function: SqlFunction, counter: RowCounter | None = None) -> SqlFunction:
    """Make a function known to a session, and return it. Raises the same errors as `register_function`.

    Args:
        spark: the session.
        function: the function.
        counter: counts the rows that the function is computed for. If None, they are not counted.
    """
    with working_on(spark):
        check_spark_version(spark.version)
        is_arrow = not spark.version.startswith(_WITHOUT_ARROW)
        has_table = is_arrow and function.has_table
        suffixes = ["", STRUCT, DESCRIBE, *([TABLE] if has_table else [])]
        names = [f"{function.name}{suffix}" for suffix in suffixes]
        own, key = _registered.setdefault(spark, {}), function.name.lower()
        _refuse_taken(spark, [each for each in names if own.get(each.lower()) != key])
        spec = function_spec(function, delivery_of(spark), task_cores(spark))
        spec = replace(spec, count=None if counter is None else counter.count)
        if not is_arrow:
            refuse_types(spec)
        ship_package(spark)
        returns = from_arrow(pa.schema(list(spec.returns)))
        make = _arrow_functions if is_arrow else _pandas_functions
        try:
            for each, udf in zip(names, make(spec, returns), strict=False):
                spark.udf.register(each, udf if function.is_deterministic else udf.asNondeterministic())
            if has_table:
                spark.udtf.register(names[-1], _table_function(spec, returns))
            for statement in function.statements():
                spark.sql(statement)
        except SPARK_ERRORS as error:
            raise explain_spark_error(error) from error
        own.update({each.lower(): key for each in names})
    logger.info("function %s is registered: %s", function.name, function.scorer)
    return function


def _refuse_taken(spark: SparkSession, names: Sequence[str]) -> None:
    """Raise an error if Spark has a function of these names: built in, temporary, or in the current database."""
    if not names:
        return
    try:
        found = spark.sql(f"SHOW ALL FUNCTIONS LIKE '{'|'.join(names)}'").collect()
    except SPARK_ERRORS as error:
        raise explain_spark_error(error) from error
    known = {str(row[0]).rpartition(".")[2].lower() for row in found}
    taken = [name for name in names if name.lower() in known]
    if taken:
        raise ConfigError(
            code=ErrorCode.SQL_NAME_TAKEN,
            what=f"function name '{taken[0]}'",
            got="a function that Spark has already",
            expected="a name that is free",
            state=STATE,
            next_step="Choose another name.",
        )


def _arrow_functions(spec: FunctionSpec, returns: StructType) -> tuple[Any, Any]:
    """Return the functions for separate arguments and for a struct, for Spark 4.1 and later."""

    def call(*arguments: pa.Array, **named: pa.Array) -> pa.Array:
        return call_function(spec.find_files(shipped_folder), arguments, named)

    def call_struct(row: pa.Array) -> pa.Array:
        return call_with_struct(spec.find_files(shipped_folder), row)

    make: Callable[..., Any] = getattr(functions, "arrow_udf")  # noqa: B009 - Spark 4.0 does not have it
    return make(call, returnType=returns), make(call_struct, returnType=returns)


def _table_function(spec: FunctionSpec, returns: StructType) -> Any:
    """Return the table function, for Spark 4.1 and later. Spark makes an instance for each task, or for each key."""

    class ScoreTable:
        def __init__(self) -> None:
            self._rows = TableRows(spec.find_files(shipped_folder))

        def eval(self, rows: pa.RecordBatch) -> Iterator[pa.Table]:
            yield from self._rows.add(rows)

        def terminate(self) -> Iterator[pa.Table]:
            yield from self._rows.finish()

    make: Callable[..., Any] = getattr(functions, "arrow_udtf")  # noqa: B009 - Spark 4.0 does not have it
    return make(ScoreTable, returnType=returns)


def _pandas_functions(spec: FunctionSpec, returns: StructType) -> tuple[Any, Any]:
    """Return the functions for separate arguments and for a struct, for Spark 4.0."""

    def call(*arguments: pd.Series, **named: pd.Series) -> pd.DataFrame:
        return call_from_pandas(spec.find_files(shipped_folder), arguments, named)

    def call_struct(row: pd.DataFrame) -> pd.DataFrame:
        return call_with_frame(spec.find_files(shipped_folder), row)

    make: Callable[..., Any] = getattr(functions, "pandas_udf")  # noqa: B009 - the type stubs do not have it
    return make(call, returnType=returns), make(call_struct, returnType=returns)
