"""Check many CSV files for faults, collect their headers, and summarize their columns.

Runs on the driver and the workers.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

import pyarrow as pa

from sparkscore.survey.csv_bytes import Dialect, FileFault, check_and_read
from sparkscore.survey.csv_cut import NotCutError, can_cut, cut
from sparkscore.survey.csv_header import first_record
from sparkscore.survey.csv_values import ColumnSurvey, Surveyor, SurveySpec, as_plain, from_plain, merge
from sparkscore.survey.text_bytes import is_compressed

_BATCH_BYTES: Final = 4 << 20
_COLUMN_BYTES: Final = 4096
# Spark finds a file's line ending only in the first 1,048,576 characters. Leave files with long first records to it.
_LONGEST_FIRST: Final = 100_000
#: The values of a file's partition columns, with None for NULL.
KeyValues = tuple[str | None, ...]


@dataclass(frozen=True)
class CutSpec:
    """How to parse CSV files with PyArrow and summarize their columns.

    Attributes:
        survey: the types of the columns in the files, followed by those of the partition columns.
        has_header: whether the first record of each file contains the column names.
        null_value: a string that stands for NULL, or an empty string if there is none.
    """

    survey: SurveySpec
    has_header: bool
    null_value: str = ""


@dataclass(frozen=True)
class FilesSurvey:
    """The result of `survey_files`: the first fault, the distinct headers, and summaries of the columns.

    A fault is a reason why Spark would misread a file or cannot read it.

    Attributes:
        fault: the path of a file and its fault, or None if no fault was found. If several files have a fault, this is
            the one whose path comes first in sorted order.
        headers: maps each distinct header, a tuple of the values in a file's first record, to the path of a file. If
            several files have the same header, this is the path that comes first in sorted order.
        columns: a summary of each column. None if there is a fault, if Spark has to parse a file, or if no summary was
            requested.
        has_lines: whether no file is compressed, and each line of each file is one row; see `CheckedFile`.
    """

    fault: tuple[str, FileFault] | None
    headers: dict[tuple[str, ...], str]
    columns: list[ColumnSurvey] | None = None
    has_lines: bool = False


def survey_files(files: Mapping[str, KeyValues], dialect: Dialect, spec: CutSpec | None = None) -> FilesSurvey:
    """Check CSV files for faults, collect their headers, and summarize their columns.

    The files are read in sorted order of their paths, until the first file with a fault. That file's header is not in
    the result.

    Args:
        files: the path of each file, with the values of its partition columns.
        dialect: the syntax of the files.
        spec: how to summarize the columns, or None if no summary is needed.
    """
    headers: dict[tuple[str, ...], str] = {}
    values = None if spec is None else _Values(spec, dialect)
    has_lines = True
    for path, keys in sorted(files.items()):
        header = first_record(path, dialect)
        read = _nothing if values is None or header is None else partial(values.add, path, header, keys)
        checked = check_and_read(path, dialect, read)
        if checked.fault:
            return FilesSurvey((path, checked.fault), headers)
        has_lines &= checked.has_lines and not is_compressed(path)
        if header is not None:
            headers.setdefault(header, path)
        # Spark also parses a file without a record, which may be a file that cannot be read.
        values = values if checked.read else None
    return FilesSurvey(None, headers, None if values is None else values.found(), has_lines)


def _nothing(_: Iterator[str]) -> bool:
    return False


class _Values:
    """Parses CSV files with PyArrow and summarizes their columns."""

    def __init__(self, spec: CutSpec, dialect: Dialect) -> None:
        self._spec, self._dialect = spec, dialect
        self._surveyor = Surveyor(spec.survey)
        # Batches of small files are summarized together, which is faster if there are many columns.
        self._batches: list[tuple[str, pa.RecordBatch]] = []
        self._size = 0
        self._most = max(_BATCH_BYTES, len(spec.survey.types) * _COLUMN_BYTES)

    def found(self) -> list[ColumnSurvey]:
        """Return a summary of each column."""
        self._flush()
        return self._surveyor.found

    def add(self, path: str, header: tuple[str, ...], keys: KeyValues, blocks: Iterator[str]) -> bool:
        """Add the values of a file, and return whether PyArrow could parse the whole file."""
        width = len(self._spec.survey.types) - len(keys)
        if len(header) != width or not can_cut(self._dialect, width) or sum(map(len, header)) > _LONGEST_FIRST:
            return False
        try:
            names = header if self._spec.has_header else None
            for rows in cut(blocks, self._dialect, names, width, self._spec.null_value):
                of_keys = [pa.repeat(pa.scalar(key, pa.string()), rows.num_rows) for key in keys]
                batch = pa.RecordBatch.from_arrays([*rows.columns, *of_keys], list(map(str, range(width + len(keys)))))
                self._batches.append((path, batch))
                self._size += batch.nbytes
                if self._size >= self._most:
                    self._flush()
        except NotCutError:
            return False
        return True

    def _flush(self) -> None:
        batches = [batch for _, batch in self._batches]
        if batches:
            ends = list(accumulate(batch.num_rows for batch in batches))
            paths = [path for path, _ in self._batches]
            rows = pa.concat_batches(batches)
            self._surveyor.add(rows.columns, lambda index: paths[bisect_right(ends, index)])
        self._batches, self._size = [], 0


def survey_files_as_json(share: tuple[dict[str, KeyValues], Dialect, CutSpec | None]) -> str:
    """Call `survey_files`, and return its result as JSON, which a worker can send to the driver.

    Args:
        share: the three arguments for `survey_files`.
    """
    found = survey_files(*share)
    fault = None if found.fault is None else [found.fault[0], found.fault[1].reason, found.fault[1].detail]
    columns = None if found.columns is None else [as_plain(column) for column in found.columns]
    headers = list(found.headers.items())
    return json.dumps({"fault": fault, "headers": headers, "columns": columns, "has_lines": found.has_lines})


def read_survey(text: str) -> FilesSurvey:
    """Create a `FilesSurvey` from the JSON returned by `survey_files_as_json`."""
    plain = json.loads(text)
    fault = plain["fault"] and (plain["fault"][0], FileFault(plain["fault"][1], plain["fault"][2]))
    columns = None if plain["columns"] is None else [from_plain(column) for column in plain["columns"]]
    headers = {tuple(header): path for header, path in plain["headers"]}
    return FilesSurvey(fault, headers, columns, plain["has_lines"])


def join_surveys(parts: Iterable[FilesSurvey]) -> FilesSurvey:
    """Merge the results of `survey_files` for several groups of files.

    If files in several groups have a fault, only the fault of the first file in path order is kept. For each header,
    only the path of the first file with this header is kept.
    """
    faults, headers, columns = [], dict[tuple[str, ...], str](), []
    has_lines = []
    for part in parts:
        has_lines.append(part.has_lines)
        faults += [part.fault] if part.fault else []
        columns.append(part.columns)
        for header, path in part.headers.items():
            headers[header] = min(path, headers.get(header, path))
    known = [each for each in columns if each is not None]
    return FilesSurvey(
        min(faults, key=lambda fault: fault[0], default=None),
        headers,
        merge(known) if len(known) == len(columns) else None,
        bool(has_lines) and all(has_lines),
    )
