"""Score the rows of one call of an SQL function: one batch of arguments in, one array of structs out.

Runs on the workers.

A row that fails does not fail its neighbours: its prediction columns are NULL, and its column ``error`` says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ScoringError, names
from sparkscore.location import plain_path
from sparkscore.minibatch import MiniBatch, MiniBatchLimit, split_into_mini_batches
from sparkscore.outcome import Failure, Outcome
from sparkscore.printable import printable
from sparkscore.redaction import redact
from sparkscore.signature.same_name import keys_of
from sparkscore.tolerance import Tolerance
from sparkscore.worker.calls import Calls
from sparkscore.worker.engine import EngineSpec
from sparkscore.worker.loaded import LoadedEngine, engine_of_function
from sparkscore.worker.result import ResultSpec
from sparkscore.worker.rules import FailureRules
from sparkscore.worker.sql_arguments import Argument, arrange, convert

#: Columns of the returned struct, after those of the model.
ERROR: Final = "error"
VERSION: Final = "model_version"
_STATE: Final = "The query was stopped."
_LONGEST_ERROR: Final = 2000
_SHOWN: Final = 200
#: Each row that fails is found, however many there are.
EVERY_ROW: Final = Tolerance(items=-1)


@dataclass(frozen=True)
class FunctionSpec:
    """Everything that a worker needs to compute an SQL function. It is pickled and sent to the workers.

    Attributes:
        name: name of the function.
        arguments: the arguments, in order.
        engine: which scorer to load, and in which process.
        result: how to read what the scorer returns.
        columns: names of the predictions in the returned struct.
        version: version of the model, or None if there is no model.
        limit: maximum size of a mini-batch of rows, which is what one call of the scorer gets.
        tries: maximum number of calls with a whole mini-batch.
        raises: whether a row that fails stops the query.
        is_files: whether the only argument is the path of a file, so that the scorer gets a list of one path per call.
        count: is called for each batch, and for each mini-batch of a table, with the function's name, its rows, and how
            many of them failed. May be None.
    """

    name: str
    arguments: tuple[Argument, ...]
    engine: EngineSpec
    result: ResultSpec
    columns: tuple[str, ...]
    version: str | None
    limit: MiniBatchLimit
    tries: int = 1
    raises: bool = False
    is_files: bool = False
    count: Callable[[str, int, int], None] | None = field(default=None, compare=False, repr=False)

    def find_files(self, folder: Callable[[], str]) -> FunctionSpec:
        """Return a copy of this specification in which the files sent by Spark have their paths on this host.

        Args:
            folder: function that returns the absolute path of the folder that contains the files sent by Spark.
        """
        return replace(self, engine=self.engine.find_files(folder))

    @property
    def returns(self) -> pa.DataType:
        """The type of the returned struct."""
        predictions = zip(self.columns, self.result.predictions.types, strict=True)
        return pa.struct([*predictions, (ERROR, pa.string()), (VERSION, pa.string())])


def call_function(
    spec: FunctionSpec,
    positional: Sequence[pa.Array],
    named: Mapping[str, pa.Array],
    failed: Mapping[int, Failure] = MappingProxyType({}),
) -> pa.StructArray:
    """Score one batch of rows, and return a struct for each row.

    Args:
        spec: the function.
        positional: the arguments that the query gives by position, one array each.
        named: the arguments that the query gives by name.
        failed: the rows that are already known to fail, by position.

    Raises:
        SparkscoreError: the arguments do not fit the function, the scorer cannot be loaded, or a row failed and
            ``spec.raises`` is true.
    """
    arrays = arrange(spec.name, spec.arguments, positional, named)
    count = len(next(iter(arrays.values())))
    rows = _Rows(spec, count, dict(failed))
    columns = [rows.take_in(argument, arrays.get(argument.name)) for argument in spec.arguments]
    rows.score(pa.table(columns, names=[argument.name for argument in spec.arguments]))
    if spec.count is not None:
        spec.count(spec.name, count, len(rows.failures))
    return rows.result()


def call_with_struct(
    spec: FunctionSpec, row: pa.StructArray, failed: Mapping[int, Failure] = MappingProxyType({})
) -> pa.StructArray:
    """Score one batch of rows whose arguments are the fields of a struct, and return a struct for each row.

    The fields are found by name, in any order. Further fields are ignored.

    Raises:
        SparkscoreError: see `call_function`. Also if several fields have the name of an argument.
    """
    found = _by_argument(spec, f"{spec.name}_struct", [each.name for each in row.type], row.flatten())
    # A struct without any of the fields still has rows, and the message names what is missing.
    return call_function(spec, (), found or _no_fields(spec, row), failed)


def arguments_in(
    spec: FunctionSpec, called: str, columns: Sequence[str], arrays: Sequence[pa.Array]
) -> dict[str, pa.Array]:
    """Return the columns of a table that are arguments, by argument name. Further columns are ignored.

    Args:
        spec: the function.
        called: the name that the query calls, for messages.
        columns: the names of the table's columns.
        arrays: the columns.

    Raises:
        ConfigError: a required argument has no column, or an argument has several.
    """
    found = _by_argument(spec, called, columns, arrays)
    missing = [each.name for each in spec.arguments if each.name not in found and each.default is None]
    if missing:
        raise ConfigError(
            code=ErrorCode.SQL_ARGUMENTS,
            what=f"function '{called}'",
            got=f"a table without {names(missing)}",
            expected=f"the columns {', '.join(each.name for each in spec.arguments)}",
            state=_STATE,
            next_step="Name the columns in the call: TABLE(SELECT … AS … FROM …).",
        )
    return found


def _by_argument(
    spec: FunctionSpec, called: str, columns: Sequence[str], arrays: Sequence[pa.Array]
) -> dict[str, pa.Array]:
    fields = list(zip(columns, arrays, strict=True))
    found: dict[str, pa.Array] = {}
    for argument in spec.arguments:
        same = [array for name, array in fields if keys_of(name) & keys_of(argument.name)]
        if len(same) > 1:
            raise ConfigError(
                code=ErrorCode.SQL_ARGUMENTS,
                what=f"function '{called}'",
                got=f"{len(same)} fields with the name of argument '{argument.name}'",
                expected="one",
                state=_STATE,
                next_step="Give the fields different names.",
            )
        if same:
            found[argument.name] = same[0]
    return found


def _no_fields(spec: FunctionSpec, row: pa.StructArray) -> dict[str, pa.Array]:
    if all(argument.default is not None for argument in spec.arguments):
        return {spec.arguments[0].name: _repeated(spec.arguments[0], len(row))}
    return {row.type[0].name if row.type.num_fields else "struct": pa.nulls(len(row))}


def take_in(
    spec: FunctionSpec, argument: Argument, given: pa.Array | None, count: int
) -> tuple[pa.Array, dict[int, Failure]]:
    """Return an argument's values with the argument's type, and the failures of those that cannot be used.

    If the argument is not given, each of the ``count`` rows has its default.
    """
    return convert(spec.name, argument, _repeated(argument, count) if given is None else given)


def files_of(paths: Iterable[str]) -> list[MiniBatch]:
    """Return a mini-batch for each file.

    Several files may come back as more or fewer elements, and which belongs to which would not be known.
    """
    return [MiniBatch(f"0-{number}", (plain_path(path),)) for number, path in enumerate(paths)]


def refuse_failed_load(spec: FunctionSpec, loaded: LoadedEngine) -> None:
    """Raise an error if the scorer cannot be loaded, since then no row of the query can be scored."""
    if loaded.failure is not None:
        raise _error_of(loaded.failure, f"function '{spec.name}': its model cannot be loaded")


def mini_batch_error(spec: FunctionSpec, failure: Failure, rows: int) -> ScoringError:
    """Return the error that stops a query because a mini-batch of a table cannot be scored."""
    return _error_of(failure, f"function '{spec.name}': a mini-batch of {rows} rows cannot be scored")


def _repeated(argument: Argument, count: int) -> pa.Array:
    if argument.default is None:
        raise RuntimeError("a call without a required argument was refused before")
    return argument.default.take(pa.array([0] * count, pa.int64()))


@dataclass
class _Rows:
    """The rows of one batch: which of them failed and why, and the predictions of the others."""

    spec: FunctionSpec
    count: int
    failures: dict[int, Failure] = field(default_factory=dict)
    tables: list[pa.Table] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    def take_in(self, argument: Argument, given: pa.Array | None) -> pa.Array:
        """Return an argument's values with the argument's type, and note the rows whose value cannot be used."""
        found, failed = take_in(self.spec, argument, given, self.count)
        self.failures = {**failed, **self.failures}
        return found

    def score(self, rows: pa.Table) -> None:
        """Score the rows whose arguments can be used. The scorer is loaded only if there are any."""
        good = [position for position in range(self.count) if position not in self.failures]
        if not good:
            return
        loaded = engine_of_function(self.spec.engine)
        refuse_failed_load(self.spec, loaded)
        done = 0
        for mini_batch in self._mini_batches(rows if len(good) == self.count else rows.take(good)):
            self._score_one(loaded, mini_batch, good[done : done + mini_batch.item_count])
            done += mini_batch.item_count
            refuse_failed_load(self.spec, loaded)

    def _mini_batches(self, rows: pa.Table) -> list[MiniBatch]:
        if not self.spec.is_files:
            return list(split_into_mini_batches(rows.combine_chunks().to_batches(), self.spec.limit, 0))
        return files_of(rows.column(0).to_pylist())

    def _score_one(self, loaded: LoadedEngine, mini_batch: MiniBatch, positions: Sequence[int]) -> None:
        """Score a mini-batch, whose items are the rows at these positions of the batch."""
        rules = FailureRules(self.spec.tries, EVERY_ROW)
        outcome = Calls(loaded, self.spec.result, rules, datetime.now(UTC)).score(mini_batch)
        failed = {item.position: item.failure for item in outcome.failures}
        if not _is_one_each(outcome):  # only a script that scores a file
            failed = {0: outcome.failure or _too_many(outcome)}
        elif outcome.table is not None:
            start = len(self.spec.result.carried)
            self.tables.append(outcome.table.select(range(start, start + len(self.spec.columns))))
        self.failures |= {positions[number]: failure for number, failure in failed.items()}
        self.positions += [position for number, position in enumerate(positions) if number not in failed]

    def result(self) -> pa.StructArray:
        """Return the struct of each row.

        Raises:
            ScoringError: a row failed, and the function raises errors.
        """
        if self.failures and self.spec.raises:
            (failure, _), *_ = Counter(self.failures.values()).most_common(1)
            what = f"function '{self.spec.name}': {len(self.failures)} of {self.count} rows of a batch cannot be scored"
            raise _error_of(failure, what)
        errors = pa.array([error_text(self.failures.get(position)) for position in range(self.count)], pa.string())
        version = pa.array([self.spec.version] * self.count, pa.string())
        arrays = [*self._predictions(), errors, version]
        return pa.StructArray.from_arrays(arrays, fields=list(self.spec.returns))

    def _predictions(self) -> list[pa.Array]:
        types = self.spec.result.predictions.types
        if not self.tables:
            return [pa.nulls(self.count, type_) for type_ in types]
        scored = pa.concat_tables(self.tables).combine_chunks()
        index: list[int | None] = [None] * self.count
        for number, position in enumerate(self.positions):
            index[position] = number
        rows = scored.take(pa.array(index, pa.int64())).combine_chunks()
        return [_one_array(column) for column in rows.columns]


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _is_one_each(outcome: Outcome) -> bool:
    """Return whether each item of a mini-batch has one row or is known to have failed."""
    rows = 0 if outcome.table is None else outcome.table.num_rows
    return rows + len(outcome.failures) == outcome.items


def _too_many(outcome: Outcome) -> Failure:
    rows = 0 if outcome.table is None else outcome.table.num_rows
    message = f"run() returned {rows} elements for a file, expected one"
    return Failure(ErrorCode.OUTPUT_ROWS, message=message)


def error_text(failure: Failure | None) -> str | None:
    """Return the value of the column ``error``: the user's message, or sparkscore's with its code."""
    if failure is None:
        return None
    text = f"{failure.exception}: {failure.message}" if failure.exception else f"[{failure.code}] {failure.message}"
    return redact(f"{text.rstrip('.')}. {failure.next_step}" if failure.next_step else text)[:_LONGEST_ERROR]


def _error_of(failure: Failure, what: str) -> ScoringError:
    """Return an error for a query that stops, with the kind of the failure and the user's message, cut short."""
    place = f" ({failure.place})" if failure.place else ""
    return ScoringError(
        code=failure.code if not failure.exception else ErrorCode.SQL_ROW,
        what=what,
        got=printable(redact(f"{failure.error_class}: {failure.message}")[:_SHOWN]) + place,
        state=_STATE,
        next_step=failure.next_step or "Correct the script or the rows.",
    )
