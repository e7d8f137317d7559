"""Join small staged files into larger ones, without changing any row or the order of rows.

Runs on the workers. The driver chooses the files.

The original files are kept. If a joined file is not used, for example because the driver died, nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sparkscore.parquet.opening import BUFFER_BYTES, open_parquet
from sparkscore.stage import layout
from sparkscore.stage.checksums import find_changed
from sparkscore.stage.report import StagedFile
from sparkscore.stage.store import Store
from sparkscore.stage.surroundings import here, open_store
from sparkscore.stage.writer import OpenFile, RowBuffer

_BATCH_ROWS = 16 * 1024


def groups_to_join(files: Iterable[StagedFile], target_bytes: int) -> list[tuple[StagedFile, ...]]:
    """Return groups of small files, each of which should be joined into one file.

    The files of a group belong to one partition, and follow each other in it. Files that would be alone in their group
    are left out.

    Args:
        files: the staged files, in the order of their rows.
        target_bytes: the largest total size of the files of a group.
    """
    open_groups: dict[str, list[StagedFile]] = {}
    found = []
    for file in (file for file in files if file.rows):
        partition = layout.within_task_attempt(file.path).rpartition("/")[0]
        group = open_groups.setdefault(partition, [])
        if group and sum(each.size_bytes for each in group) + file.size_bytes > target_bytes:
            found.append(open_groups[partition])
            group = open_groups[partition] = []
        group.append(file)
    return [tuple(group) for group in (*found, *open_groups.values()) if len(group) > 1]


def join_groups(stage: str, groups: Sequence[Sequence[StagedFile]]) -> list[StagedFile | None]:
    """Join the files of each group, and return the joined files.

    The joined files are written to folders that no other task attempt uses. If a group cannot be joined, its element of
    the list is None, for example because one of its files was changed, or the joined file cannot be written. The
    original files of the group then remain in use, and a check before publishing reports what is wrong with them.

    Args:
        stage: path of the run's stage.
        groups: the files of each group, from `groups_to_join`.
    """
    token, joined = here().token(), []
    for number, group in enumerate(groups, start=1):
        rows_folder, attempt, _ = group[0].path.split("/", 2)
        folder = layout.within_task_attempt(group[0].path).rpartition("/")[0]
        unit = int(attempt.partition("-")[0])
        path = layout.part(layout.task_attempt(rows_folder, unit, token), folder, number)
        joined.append(_join(Path(stage), group, path))
    return joined


def _join(stage: Path, group: Sequence[StagedFile], path: str) -> StagedFile | None:
    store = open_store(stage)
    try:
        if find_changed(stage, group, reads_all=True):
            return None
        joined = _write(store, path, _in_row_groups(_rows_of(store, group)))
        with store.open(path) as written, store.open(group[0].path) as first:
            is_alike = pq.read_metadata(written).schema.equals(pq.read_metadata(first).schema)
    except (OSError, pa.ArrowException):
        return None
    return joined if is_alike and joined.rows == sum(file.rows for file in group) else None


def _write(store: Store, path: str, row_groups: Iterator[pa.Table]) -> StagedFile:
    rows = next(row_groups)
    file = OpenFile(store, path, rows)
    try:
        file.write(rows)
        del rows  # before the next ones are read
        for rows in row_groups:
            file.write(rows)
            del rows
        return file.close()
    finally:
        file.abandon()


def _in_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    buffer = RowBuffer()
    for table in tables:
        buffer.add(table)
        del table  # before the next one is read
        if buffer.is_full and (rows := buffer.take()) is not None:
            yield rows
            del rows
    if (rows := buffer.take()) is not None:
        yield rows


def _rows_of(store: Store, group: Sequence[StagedFile]) -> Iterator[pa.Table]:
    with store.open(group[0].path) as opened:
        first = pq.read_metadata(opened)
    texts = _repeating_texts(first)
    for file in group:
        with store.open(file.path) as opened:
            footer = pq.read_metadata(opened)
            if not footer.schema.equals(first.schema):
                raise pa.ArrowInvalid("the files have different columns")
            parquet = open_parquet(
                opened,
                metadata=footer,
                read_dictionary=texts,
                buffer_size=BUFFER_BYTES,
                page_checksum_verification=True,
            )
            for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
                # The metadata is dropped, because its statistics are only valid for the rows of this file.
                yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
                del batch  # before the next one is read


def _repeating_texts(footer: pq.FileMetaData) -> list[str]:
    """Return the names of a file's text columns with few distinct values, which are read as dictionaries.

    Otherwise, each row would have a text of its own in memory. The lineage columns would take more time and memory than
    all other columns together.

    Args:
        footer: the metadata of a file with rows.
    """
    names = {field.name for field in footer.schema.to_arrow_schema() if pa.types.is_string(field.type)}
    columns = map(footer.row_group(0).column, range(footer.num_columns))
    return [column.path_in_schema for column in columns if column.path_in_schema in names and _is_repeating(column)]


def _is_repeating(column: pq.ColumnChunkMetaData) -> bool:
    """Return whether a column has a dictionary that takes less than a byte for each row."""
    start = column.dictionary_page_offset
    return start is not None and bool(column.data_page_offset - start < column.num_values)
