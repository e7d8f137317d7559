"""Build result rows from carried columns, the columns that ``run()`` returned, and lineage.

Runs on the workers, also in child processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import OutputContractError
from sparkscore.location import plain_path
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome, describe_failure
from sparkscore.returned import Returned, count_elements, tabulate
from sparkscore.scorers.failed import PartlyScored
from sparkscore.scorers.frames import HandedOver
from sparkscore.stage.dictionaries import encode_texts, repeat_text
from sparkscore.stage.writer import check_partition_values
from sparkscore.worker.row_order import refuse_other_order

#: The lineage columns in order, with their names before the deployment renames any.
LINEAGE_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("scored_at", pa.timestamp("us", "UTC")),
        ("source_file", pa.string()),
    ]
)
_SCORED_AT: Final = LINEAGE_SCHEMA.field("scored_at").type
_TEXTS: Final = repeat_text(None, 0).type
_NO_ROWS: Final = pa.schema([])


@dataclass(frozen=True)
class LineageValues:
    """The lineage values that are the same in all rows of a run."""

    run_id: str
    model_name: str | None
    model_version: str | None


@dataclass(frozen=True)
class ResultSpec:
    """How to build result rows from the value that ``run()`` returned.

    Attributes:
        predictions: names and types of the columns that ``run()`` returns.
        carried: names of the input columns that are added to the predictions by position.
        renamed: pairs of original and new names, for prediction, lineage and input columns.
        lineage: values of the lineage columns.
        partition_by: partition columns of the result.
        caller: name of the function or model that returns the value, for messages; for example ``run()``.
        is_per_item: whether a returned DataFrame has one row per item, in item order. This holds for models. A script
            may return any number of rows.
        columns: number of input columns, or 0 if the items are files. If ``run()`` returns this many elements, they
            may be one per column instead of one per row.
        is_proven: whether the scorer is known to return one element per row.
    """

    predictions: pa.Schema
    carried: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    lineage: LineageValues
    partition_by: tuple[str, ...] = ()
    caller: str = "run()"
    is_per_item: bool = False
    columns: int = 0
    is_proven: bool = False

    def schema(self, carried_types: pa.Schema) -> pa.Schema:
        """Return the schema of the result: carried columns, predictions, lineage columns.

        Args:
            carried_types: schema of the input rows, which contains the types of the carried columns.
        """
        carried = [carried_types.field(name).with_name(self.name_of_carried(name)) for name in self.carried]
        added = [column.with_name(self.name_of_added(column.name)) for column in (*self.predictions, *LINEAGE_SCHEMA)]
        return pa.schema([*carried, *added])

    def name_of_added(self, name: str) -> str:
        """Return the name of a prediction or lineage column in the result. The deployment can rename columns."""
        return dict(self.renamed).get(name, name)

    def name_of_carried(self, name: str) -> str:
        """Return the name of a carried column in the result.

        The deployment can rename columns. If a prediction or lineage column has the same original name as the carried
        column, the new name applies only to the prediction or lineage column, and the carried column keeps its name.
        """
        is_shared = name in self.predictions.names or name in LINEAGE_SCHEMA.names
        return name if is_shared else dict(self.renamed).get(name, name)


def make_outcome(
    returned: object,
    mini_batch: MiniBatch,
    spec: ResultSpec,
    scored_at: datetime,
    handed: HandedOver | None = None,
) -> Outcome:
    """Check the value that a scorer returned for a mini-batch, and return its result rows or a failure.

    Each missing element counts as a failed item, as in Azure ML. If input columns are carried, however, a wrong number
    of elements fails the whole mini-batch, because carried columns are added by position. If the value is a
    `PartlyScored`, the items without a score fail, and these rules apply to the other items.

    Args:
        returned: value returned by ``run()`` or the model, or a `PartlyScored`.
        mini_batch: the mini-batch.
        spec: how to build the rows.
        scored_at: value of the lineage column ``scored_at``, in UTC.
        handed: the DataFrame that was passed to the user's code, which shows whether the code moved its rows. None if
            no DataFrame was passed.

    Raises:
        OutputContractError: the value cannot be read or converted to the declared columns and types, a NOT NULL column
            contains a NULL, a value cannot be used in a partition column, or columns are carried and the rows may be in
            a different order than the mini-batch.
    """
    if isinstance(returned, PartlyScored):
        return _outcome_of_part(returned, mini_batch, spec, scored_at)
    items = mini_batch.item_count
    returned = in_memory(returned)
    elements = count_elements(returned)
    # The element count is checked before the types: if it is wrong, it may still be right for halves of the mini-batch.
    if spec.carried and elements not in {None, items}:
        return _wrong_count(spec.caller, mini_batch, elements or 0)
    result = read_returned(returned, spec.predictions)
    if spec.carried and result.elements != items:
        return _wrong_count(spec.caller, mini_batch, result.elements)
    if spec.carried:
        refuse_other_order(returned, mini_batch.rows, handed, spec.caller)
    files = _source_files(mini_batch, result.table.num_rows, is_frame=result.is_frame and not spec.is_per_item)
    rows = _join(result.table.columns, files, mini_batch, spec, scored_at)
    check_partition_values(rows, spec.partition_by)
    scored = min(items, result.elements)
    shortfall = _shortfall(spec.caller, items, result.elements) if scored < items else None
    return Outcome(items=items, scored=scored, table=rows, failure=shortfall, elements=result.elements)


def _outcome_of_part(part: PartlyScored, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
    """Return the outcome of a mini-batch in which the scorer could not score some or all items.

    If input columns are carried, a wrong number of scores for the other items fails the whole mini-batch.
    """
    rest = mini_batch.without({item.position for item in part.failures})
    if not rest.item_count:
        return Outcome(mini_batch.item_count, 0, failure=part.failures[0].failure, failures=part.failures)
    outcome = make_outcome(part.returned, rest, spec, scored_at)
    if outcome.table is None:
        return replace(outcome, items=mini_batch.item_count)
    failure = outcome.failure or part.failures[0].failure
    return replace(outcome, items=mini_batch.item_count, failure=failure, failures=part.failures)


def in_memory(returned: object) -> object:
    """Return an iterator's elements as a list, and any other value unchanged.

    Raises:
        OutputContractError: the iterator raised an exception.
    """
    if not isinstance(returned, Iterator):
        return returned
    try:
        return list(returned)
    # A generator runs the user's code, which may raise any exception.
    except Exception as error:
        raise _unreadable(error) from error


def read_returned(returned: object, schema: pa.Schema | None) -> Returned:
    """Convert the value that ``run()`` returned to a table with typed columns.

    Args:
        returned: the value.
        schema: names and types of the columns, or None to infer them.

    Raises:
        OutputContractError: the value cannot be converted to rows, or reading it raised an exception.
    """
    try:
        return tabulate(returned, schema)
    except OutputContractError:
        raise
    # The value may contain objects of the user's classes, whose methods may raise any exception.
    except Exception as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> OutputContractError:
    return OutputContractError(
        code=ErrorCode.OUTPUT_UNREADABLE,
        what="the value that run() returned cannot be read",
        got=type(error).__name__,
        next_step="Return plain numbers, texts and arrays; the whole traceback is in the log.",
    )


def _join(
    predictions: Sequence[pa.ChunkedArray],
    source_file: pa.Array | pa.ChunkedArray,
    mini_batch: MiniBatch,
    spec: ResultSpec,
    scored_at: datetime,
) -> pa.Table:
    rows, count = mini_batch.rows, len(source_file)
    carried = [] if rows is None else [rows.column(name) for name in spec.carried]
    texts = [spec.lineage.run_id, spec.lineage.model_name, spec.lineage.model_version]
    lineage = [
        *(repeat_text(text, count) for text in texts),
        pa.repeat(pa.scalar(scored_at, _SCORED_AT), count),
        source_file,
    ]
    schema = _schemas.get(spec, _NO_ROWS if rows is None else rows.schema)
    return pa.Table.from_arrays([*carried, *predictions, *lineage], schema=schema)


def without_known(outcome: Outcome, mini_batch: MiniBatch, spec: ResultSpec) -> Outcome:
    """Return an outcome of `make_outcome` without the columns that `with_known` can add again.

    Runs in child processes. Only the prediction columns are kept, and ``source_file`` unless its values follow from the
    mini-batch, because the worker knows the values of all other columns.
    """
    if outcome.table is None:
        return outcome
    end = outcome.table.num_columns
    first = end - len(LINEAGE_SCHEMA) - len(spec.predictions)
    kept = [*range(first, first + len(spec.predictions)), *([] if _has_known_file(mini_batch) else [end - 1])]
    return replace(outcome, table=outcome.table.select(kept))


def _has_known_file(mini_batch: MiniBatch) -> bool:
    """Return whether the values of ``source_file`` depend only on the mini-batch, not on what the scorer returned."""
    return mini_batch.rows is not None or len(mini_batch.files) == 1


def with_known(outcome: Outcome, mini_batch: MiniBatch, spec: ResultSpec, scored_at: datetime) -> Outcome:
    """Return an outcome from a child process with the carried columns and all lineage columns.

    Args:
        outcome: the outcome, as returned by `without_known`.
        mini_batch: the mini-batch that the child scored.
        spec: how to build the rows.
        scored_at: value of the lineage column ``scored_at``, in UTC.
    """
    if outcome.table is None:
        return outcome
    if spec.carried and outcome.failures:
        mini_batch = mini_batch.without({item.position for item in outcome.failures})
    predictions = outcome.table.columns
    if _has_known_file(mini_batch):
        files: pa.Array | pa.ChunkedArray = _source_files(mini_batch, outcome.table.num_rows, is_frame=False)
    else:
        files = predictions.pop()
    table = _join(predictions, files, mini_batch, spec, scored_at)
    return replace(outcome, table=table)


class _SchemaOfTask:
    """Keeps the schema of the last result rows, which is the same for all mini-batches of a task."""

    def __init__(self) -> None:
        self._spec: ResultSpec | None = None
        self._given = self._schema = _NO_ROWS

    def get(self, spec: ResultSpec, given: pa.Schema) -> pa.Schema:
        """Return the schema of result rows in memory, where string columns of the lineage are dictionary-encoded.

        Args:
            spec: how to build the rows.
            given: schema of the input rows.
        """
        if spec is not self._spec or not given.equals(self._given, check_metadata=True):
            stored = spec.schema(given)
            first = len(stored) - len(LINEAGE_SCHEMA)
            lineage = [
                field.with_type(_TEXTS) if pa.types.is_string(field.type) else field for field in list(stored)[first:]
            ]
            self._spec, self._given, self._schema = spec, given, pa.schema([*list(stored)[:first], *lineage])
        return self._schema


_schemas: Final = _SchemaOfTask()


def _source_files(mini_batch: MiniBatch, count: int, *, is_frame: bool) -> pa.Array:
    """Return the input file of each result row, or NULLs if unknown.

    The file is known if the mini-batch has a single file. It is also known if the items are files and the result has
    one row per file, unless the rows come from a DataFrame returned by a script. Such a DataFrame may have any number
    of rows, so the match may be a coincidence.

    Args:
        mini_batch: the mini-batch.
        count: number of result rows.
        is_frame: whether a script returned a DataFrame.
    """
    files = [plain_path(file) if mini_batch.rows is not None else file for file in mini_batch.files]
    if len(files) == 1:
        return repeat_text(files[0], count)
    if files and mini_batch.rows is None and len(files) == count and not is_frame:
        return encode_texts(files)
    return repeat_text(None, count)


def _wrong_count(caller: str, mini_batch: MiniBatch, elements: int) -> Outcome:
    error = OutputContractError(
        code=ErrorCode.OUTPUT_ROWS,
        what=caller,
        got=f"{elements} elements for {mini_batch.item_count} rows",
        expected="one element per row, since input columns are carried into the result by position",
        next_step="Return one element per row, or set 'output.carry: []'.",
    )
    return Outcome(mini_batch.item_count, 0, failure=describe_failure(error), elements=elements)


def _shortfall(caller: str, items: int, elements: int) -> Failure:
    text = f"{caller} returned {elements} elements for {items} items, so the {items - elements} missing count as failed"
    return Failure(ErrorCode.OUTPUT_ROWS, message=text)
