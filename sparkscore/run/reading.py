"""Decide before scoring whether Spark or the workers themselves read the rows of the input. Runs on the driver."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.minibatch import MiniBatchLimit
from sparkscore.parquet import FilePart
from sparkscore.row_units import FileRows
from sparkscore.run.prepare import PreparedRun
from sparkscore.signature.model_signature import Feed
from sparkscore.sources import PlannedRows, Source
from sparkscore.stage import Decision, RunStage
from sparkscore.worker.probe import RowsSample
from sparkscore.worker.row_reader import RowReader

logger = logging.getLogger("sparkscore")

WORKER: Final = "worker"
SPARK: Final = "spark"
# The probe's mini-batches are chosen from this many at the start of the input.
_TO_CHOOSE_FROM: Final = 100
# The probe gets at most this many mini-batches.
_TO_PROBE: Final = 10
# Number of rows from which the probe's mini-batches are taken if the limit of a mini-batch is not a number of rows.
_SAMPLE_ROWS: Final = 10_000


def refuse_reader(prepared: PreparedRun, source: Source) -> None:
    """Raise an error if the deployment asks for a reader that cannot read this input exactly.

    Raises:
        ConfigError: ``input.reader`` is ``worker``, but Spark must read the input.
    """
    if prepared.deployment.input.reader != WORKER:
        return
    found = "run() gets the paths of files" if source.columns() is None else _find(prepared, source)
    if isinstance(found, str):
        raise ConfigError(
            code=ErrorCode.INPUT_READER,
            what="'input.reader: worker', with which the workers read the input themselves",
            got=f"an input that they cannot read: {found}",
            expected="Parquet files, or a Delta table, with types that they read exactly as Spark does",
            next_step="Set 'input.reader: auto'; Spark then reads this input.",
        )


def decide_reader(prepared: PreparedRun, source: Source, stage: RunStage) -> tuple[PlannedRows | None, str]:
    """Decide whether Spark or the workers read the rows, and store the decision in the stage for a resumed run.

    Args:
        prepared: the checked request.
        source: an input whose items are rows.
        stage: the run's stage.

    Returns:
        the rows that the workers read, and an empty string; or None and the reason why Spark reads them.

    Raises:
        ConfigError: the workers read the input when the run was begun, but they can no longer read it.
        SinkError: the decision in the stage was modified.
    """
    kept = stage.kept(Decision.READER)
    if kept is not None:
        reader, reason = json.loads(kept)
        found = _find(prepared, source) if reader == WORKER else str(reason)
        if reader == WORKER and isinstance(found, str):
            raise _no_longer(found)
    elif stage.count_chunks():
        # Earlier versions of sparkscore had only Spark's reader, and stored no decision.
        found = "the run was begun with Spark's reader"
    else:
        found = _find(prepared, source)
    reason = found if isinstance(found, str) else ""
    stage.keep(Decision.READER, json.dumps([SPARK if reason else WORKER, reason]).encode())
    logger.info("%s", f"Spark reads the input: {reason}" if reason else "the workers read the input themselves")
    return (None if isinstance(found, str) else found), reason


def columns_to_read(
    prepared: PreparedRun,
    feeds: tuple[Feed, ...] | None,
    carried: Collection[str],
    not_null: Collection[str],
    limit: MiniBatchLimit,
) -> tuple[str, ...] | None:
    """Return the names of the columns that the scorer and the result need, or None if they need all.

    All columns are needed if there is a scoring script, if the model's columns are not known, or if the size of a
    mini-batch is limited in bytes, because the size counts all columns.

    Args:
        prepared: the checked request.
        feeds: the model's inputs, each with its columns, or None if there is a script or no signature.
        carried: the columns that are copied into the result.
        not_null: the columns that are declared NOT NULL. Their values are checked.
        limit: the maximum size of a mini-batch.
    """
    if prepared.script is not None or not feeds or limit.size_bytes is not None:
        return None
    needed = {*(name for feed in feeds for name in feed.columns), *carried, *not_null}
    return tuple(sorted(needed)) or None


def samples_of(rows: PlannedRows, limit: MiniBatchLimit) -> list[RowsSample]:
    """Return samples that tell the workers which rows to read as mini-batches for the probe.

    They are in the order in which the probe tries them until the result columns are known. Mini-batches with a single
    row come last, because their result does not show whether the script returns one element for each row.

    Args:
        rows: the rows of the input.
        limit: the maximum size of a mini-batch.
    """
    reader = RowReader(rows.reader)
    parts = sorted(islice(_parts_of(rows.files, limit), _TO_CHOOSE_FROM), key=lambda part: part.row_count == 1)
    if limit.size_bytes is not None and parts:
        return [RowsSample(reader, parts[0], limit, number) for number in range(_TO_PROBE)]
    whole = MiniBatchLimit(items=_SAMPLE_ROWS) if limit.is_file else limit
    return [RowsSample(reader, part, whole) for part in parts[:_TO_PROBE]]


def _parts_of(files: Sequence[FileRows], limit: MiniBatchLimit) -> Iterator[FilePart]:
    """Yield the rows of each mini-batch if the limit is in rows, or else the first rows of each file."""
    for file in files:
        count = sum(file.rows)
        step = limit.items or _SAMPLE_ROWS
        for first in range(0, count if limit.items else min(count, 1), step):
            yield FilePart(file.path, first, min(step, count - first))


def _find(prepared: PreparedRun, source: Source) -> PlannedRows | str:
    """Return the rows that workers can read themselves, or the reason why Spark must read them."""
    if prepared.deployment.input.reader == SPARK:
        return "'input.reader' is spark"
    if prepared.description is not None and prepared.description.model_format == "spark":
        return "Spark itself scores with this model"
    return source.planned_rows()


def _no_longer(reason: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.INPUT_READER,
        what="the run was begun with workers that read the input themselves",
        got=f"an input that they can no longer read: {reason}",
        state="Nothing was published.",
        next_step="Score again under another --run-id.",
    )
