"""Convert failed items to rows of the quarantine table and read input rows back from it.

Runs on the driver and the workers.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.location import plain_path
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import Failure, Outcome
from sparkscore.redaction import redact
from sparkscore.worker.result import LineageValues

#: The columns of the quarantine table, which are the same for every input.
QUARANTINE_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("mini_batch", pa.string()),
        ("position", pa.int64()),
        ("source_file", pa.string()),
        ("row", pa.string()),
        ("tries", pa.int64()),
        ("error_code", pa.string()),
        ("error_class", pa.string()),
        ("message", pa.string()),
        ("place", pa.string()),
        ("traceback", pa.string()),
        ("failed_at", pa.timestamp("us", "UTC")),
    ]
)
_LONGEST_MESSAGE: Final = 2000
_LONGEST_TRACEBACK: Final = 20_000


def quarantined_rows(
    mini_batch: MiniBatch, outcome: Outcome, lineage: LineageValues, tries: int, failed_at: dt.datetime
) -> pa.Table | None:
    """Return one quarantine row per failed item, or None if all items were scored.

    If the failed items are not known individually, for example because a script returned too few elements, ``position``
    and ``row`` are NULL. Secrets in messages and tracebacks are masked.

    Args:
        mini_batch: the whole mini-batch.
        outcome: the mini-batch's outcome.
        lineage: the run and the model.
        tries: number of calls with the whole mini-batch.
        failed_at: value of the ``failed_at`` column, in UTC.
    """
    known = [(item.position, item.failure) for item in outcome.failures]
    unnamed = outcome.failed - len(known)
    failures: list[tuple[int | None, Failure]] = [
        *known,
        *((None, outcome.failure or _NO_REASON) for _ in range(unnamed)),
    ]
    if not failures:
        return None
    texts = _Texts()
    rows = [
        {
            "run_id": lineage.run_id,
            "model_name": lineage.model_name,
            "model_version": lineage.model_version,
            "mini_batch": mini_batch.mini_batch_id,
            "position": position,
            "source_file": _file_of(mini_batch, position),
            "row": _row_of(mini_batch, position),
            "tries": tries,
            "error_code": failure.code,
            "error_class": failure.error_class,
            "message": texts.safe(failure.message, _LONGEST_MESSAGE),
            "place": failure.place,
            "traceback": texts.safe(failure.traceback_text, _LONGEST_TRACEBACK),
            "failed_at": failed_at,
        }
        for position, failure in failures
    ]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


_NO_REASON: Final = Failure(ErrorCode.OUTPUT_ROWS)


class _Texts:
    """Masks secrets in strings and truncates them. Results are cached, because many failures have the same message."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], str] = {}

    def safe(self, text: str, longest: int) -> str:
        """Mask the secrets in a string and truncate it to `longest` characters."""
        if (text, longest) not in self._known:
            self._known[text, longest] = redact(text)[:longest]
        return self._known[text, longest]


def _file_of(mini_batch: MiniBatch, position: int | None) -> str | None:
    """Return the path of the item, or of the file that contains it, or None if the path is unknown."""
    if mini_batch.rows is None:
        return None if position is None else mini_batch.files[position]
    return plain_path(mini_batch.files[0]) if len(mini_batch.files) == 1 else None


def _row_of(mini_batch: MiniBatch, position: int | None) -> str | None:
    """Return an input row as JSON, or None if the item is a file or its position is unknown."""
    if mini_batch.rows is None or position is None:
        return None
    (row,) = mini_batch.rows.slice(position, 1).to_pylist()
    return json.dumps(row, ensure_ascii=False, default=_as_json)


def read_rows(texts: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Convert input rows from the quarantine table, stored as JSON strings, back to an Arrow table.

    Args:
        texts: one JSON object per row.
        schema: column names and types. Values missing from a JSON object become NULL.
    """
    rows = [json.loads(text) for text in texts]
    columns = [pa.array([_from_json(row.get(field.name), field.type) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _from_json(value: Any, arrow_type: pa.DataType) -> Any:
    """Convert a value that was read from JSON to a Python value for this Arrow type."""
    if value is None:
        return None
    if pa.types.is_struct(arrow_type):
        return {field.name: _from_json(value.get(field.name), field.type) for field in arrow_type}
    if pa.types.is_map(arrow_type):
        return [(_from_json(key, arrow_type.key_type), _from_json(item, arrow_type.item_type)) for key, item in value]
    if pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type):
        return [_from_json(item, arrow_type.value_type) for item in value]
    for is_type, read in _READERS:
        if is_type(arrow_type):
            return read(value)
    return value


_READERS: Final[tuple[tuple[Callable[[pa.DataType], bool], Callable[[str], Any]], ...]] = (
    (pa.types.is_timestamp, dt.datetime.fromisoformat),
    (pa.types.is_date, dt.date.fromisoformat),
    (pa.types.is_decimal, Decimal),
    (pa.types.is_binary, base64.b64decode),
    (pa.types.is_large_binary, base64.b64decode),
)


def _as_json(value: Any) -> Any:
    """Convert a value that JSON cannot represent, for example a date or a decimal, to a string.

    `_from_json` converts dates, timestamps, decimals and bytes back.
    """
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
