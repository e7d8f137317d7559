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
from sparkscore.stage.dictionaries import drop_unused
from sparkscore.stage.report import StagedFile
from sparkscore.stage.store import Store
from sparkscore.stage.surroundings import here, open_store
from sparkscore.stage.writer import OpenFile, RowBuffer

_BATCH_ROWS = 16 * 1024
# Texts with fewer bytes for each row in a file, apart from the headers of its pages and a first text, repeat.
_BYTES_OF_A_TEXT = 4
_BYTES_OF_PAGES = 1024


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
    footers = [_footer_of(store, file) for file in group]
    if any(not footer.schema.equals(footers[0].schema) for footer in footers):
        raise pa.ArrowInvalid("the files have different columns")
    texts = _repeating_texts(footers)
    for file, footer in zip(group, footers, strict=True):
        with store.open(file.path) as opened:
            parquet = open_parquet(
                opened,
                metadata=footer,
                read_dictionary=texts,
                buffer_size=BUFFER_BYTES,
                page_checksum_verification=True,
            )
            for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
                yield _as_table(batch)
                del batch  # before the next one is read


def _footer_of(store: Store, file: StagedFile) -> pq.FileMetaData:
    with store.open(file.path) as opened:
        return pq.read_metadata(opened)


def _as_table(batch: pa.RecordBatch) -> pa.Table:
    """Return the rows without metadata, whose statistics are only valid for the rows of their file.

    PyArrow gives each record batch the dictionary of all rows of the file so far. Each row group would have all of it.
    """
    columns = [drop_unused(each) if pa.types.is_dictionary(each.type) else each for each in batch.columns]
    return pa.Table.from_arrays(columns, schema=batch.schema.remove_metadata())


def _repeating_texts(footers: Sequence[pq.FileMetaData]) -> list[str]:
    """Return the names of the text columns with few distinct values in each file, which are read as dictionaries.

    Otherwise, each row would have a text of its own in memory. The lineage columns would take more time and memory than
    all other columns together.

    Args:
        footers: the metadata of files with the same columns.
    """
    names = {field.name for field in footers[0].schema.to_arrow_schema() if pa.types.is_string(field.type)}
    paths = [footers[0].schema.column(number).path for number in range(footers[0].num_columns)]
    groups = [footer.row_group(number) for footer in footers for number in range(footer.num_row_groups)]
    texts = [number for number, path in enumerate(paths) if path in names]
    return [paths[number] for number in texts if all(_is_repeating(group.column(number)) for group in groups)]


def _is_repeating(column: pq.ColumnChunkMetaData) -> bool:
    """Return whether a column has a dictionary, and takes at most four bytes for each row before compression."""
    most = _BYTES_OF_A_TEXT * column.num_values + _BYTES_OF_PAGES
    return bool(column.has_dictionary_page and column.total_uncompressed_size <= most)
