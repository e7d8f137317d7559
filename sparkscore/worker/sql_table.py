"""Score the rows of a table in a query: record batches in, tables with any number of rows out.

Runs on the workers. A script may return more or fewer rows than it gets, so the result has the script's columns only.
A mini-batch that fails becomes one row of NULLs whose column ``error`` says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from sparkscore.minibatch import MiniBatch, split_into_mini_batches
from sparkscore.outcome import Failure
from sparkscore.worker.calls import Calls
from sparkscore.worker.loaded import engine_of_function
from sparkscore.worker.rules import FailureRules
from sparkscore.worker.sql_call import (
    EVERY_ROW,
    FunctionSpec,
    arguments_in,
    error_text,
    files_of,
    mini_batch_error,
    refuse_failed_load,
    take_in,
)


class TableRows:
    """The rows of one Spark task, or of one key if the query has PARTITION BY.

    Rows wait until they fill a mini-batch, so a mini-batch may have rows of several record batches. A mini-batch with a
    row that fails is not halved: the script may compute a value of all rows, which would differ in a half.
    """

    def __init__(self, spec: FunctionSpec) -> None:
        self._spec = spec
        self._result = replace(spec.result, carried=(), columns=0)
        self._waiting: list[pa.RecordBatch] = []
        self._failed: dict[int, Failure] = {}  # by position in the waiting rows

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        """Take rows, and yield the results of the mini-batches that are full.

        Raises:
            SparkscoreError: the table does not have the columns of the arguments, the scorer cannot be loaded, or a
                mini-batch failed and the function raises errors.
        """
        first = sum(waiting.num_rows for waiting in self._waiting)
        arrays = arguments_in(self._spec, f"{self._spec.name}_table", batch.schema.names, batch.columns)
        columns = []
        for argument in self._spec.arguments:
            array, failed = take_in(self._spec, argument, arrays.get(argument.name), batch.num_rows)
            columns.append(array)
            self._failed = {**{first + position: failure for position, failure in failed.items()}, **self._failed}
        names = [argument.name for argument in self._spec.arguments]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, names=names))
        yield from self._scored(is_last=False)

    def finish(self) -> Iterator[pa.Table]:
        """Yield the results of the rows that still wait. Raises the same errors as `add`."""
        yield from self._scored(is_last=True)

    def _scored(self, *, is_last: bool) -> Iterator[pa.Table]:
        mini_batches, done = self._mini_batches(), 0
        # Nothing is known of the next rows, so the last mini-batch may not be full.
        kept = [] if is_last or self._spec.is_files else mini_batches[-1:]
        for mini_batch in mini_batches[: len(mini_batches) - len(kept)]:
            end = done + mini_batch.item_count
            failure = next((each for at, each in sorted(self._failed.items()) if done <= at < end), None)
            yield self._score(mini_batch) if failure is None else self._error(failure, mini_batch)
            done = end
        self._waiting = [batch for mini_batch in kept if mini_batch.rows for batch in mini_batch.rows.to_batches()]
        self._failed = {position - done: failure for position, failure in self._failed.items() if position >= done}

    def _mini_batches(self) -> list[MiniBatch]:
        if self._spec.is_files:
            return files_of(path or "" for batch in self._waiting for path in batch.column(0).to_pylist())
        return list(split_into_mini_batches(self._waiting, self._spec.limit, 0))

    def _score(self, mini_batch: MiniBatch) -> pa.Table:
        loaded = engine_of_function(self._spec.engine)
        refuse_failed_load(self._spec, loaded)
        calls = Calls(loaded, self._result, FailureRules(self._spec.tries, EVERY_ROW), datetime.now(UTC))
        outcome = calls.score(replace(mini_batch, is_indivisible=True))
        refuse_failed_load(self._spec, loaded)
        if outcome.table is None or outcome.failures:
            failures = [outcome.failure, *(item.failure for item in outcome.failures)]
            return self._error(next(each for each in failures if each is not None), mini_batch)
        self._count(mini_batch.item_count, failed=0)
        columns = outcome.table.columns[: len(self._spec.columns)]
        return self._table(dict(zip(self._spec.columns, columns, strict=True)), [None] * outcome.table.num_rows)

    def _error(self, failure: Failure, mini_batch: MiniBatch) -> pa.Table:
        """Return a row for a mini-batch that failed, or raise an error if the function raises errors."""
        self._count(mini_batch.item_count, failed=mini_batch.item_count)
        if self._spec.raises:
            raise mini_batch_error(self._spec, failure, mini_batch.item_count)
        return self._table({}, [f"{error_text(failure)} (rows: {mini_batch.item_count})"])

    def _count(self, rows: int, *, failed: int) -> None:
        if self._spec.count is not None:
            self._spec.count(self._spec.name, rows, failed)

    def _table(self, columns: Mapping[str, pa.ChunkedArray], errors: Sequence[str | None]) -> pa.Table:
        *predictions, error, version = self._spec.returns
        arrays = [columns.get(field.name, pa.nulls(len(errors), field.type)) for field in predictions]
        arrays += [pa.array(errors, error.type), pa.array([self._spec.version] * len(errors), version.type)]
        return pa.table(arrays, schema=pa.schema(list(self._spec.returns)))
