"""Survey parts of JSON files: find text that is not a record, and summarize each column.

Runs on the driver and the workers.
"""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from sparkscore.survey.json_fields import FieldSurvey, Position
from sparkscore.survey.json_fits import Check, Formats, check_of, has_integers, has_reals
from sparkscore.survey.json_records import JsonForm, RecordError, decode, records_of_file, records_of_line
from sparkscore.survey.text_bytes import MARK_OF_LINES, open_bytes
from sparkscore.survey.text_lines import read_lines


@dataclass(frozen=True)
class Part:
    """A part of a JSON file.

    Attributes:
        number: the number of the part, counted from 0 over all files.
        path: the path of the file.
        start: the offset of the first byte of the part.
        end: the offset of the first byte after the part, or None for the end of the file.
    """

    number: int
    path: str
    start: int = 0
    end: int | None = None


@dataclass(frozen=True)
class Share:
    """The parts of files that one call of `survey_parts` reads, and how to read them.

    Attributes:
        parts: the parts to read.
        form: the syntax of the files.
        declared: the type of each declared column by name, with None for a column whose values are not checked. If no
            columns are declared, `declared` is None.
        formats: the options for dates and times.
        drops_bad: whether lines that are not JSON objects are skipped, because 'mode' has a value other than FAILFAST.
            Other problems, such as a field that occurs twice, still end the survey.
    """

    parts: tuple[Part, ...]
    form: JsonForm
    declared: Mapping[str, pa.DataType | None] | None = None
    formats: Formats = field(default_factory=Formats)
    drops_bad: bool = False


@dataclass
class Found:
    """The result of a survey of some parts of JSON files.

    Attributes:
        columns: a summary of the values of each column that occurs in the records.
        rows: the number of records that were read.
        lines: the number of lines that were read in each part, or 1 if the file is one JSON value.
        problem: the first text that is not a record, or the first file that cannot be read: its position, a reason (a
            `RecordError.reason` or ``unreadable``) and a detail. None if there is no problem.
        respelled: the columns declared as integers, or as nested types with integers, in which some numbers are written
            with a decimal point or an exponent.
    """

    columns: dict[str, FieldSurvey] = field(default_factory=dict)
    rows: int = 0
    lines: dict[int, int] = field(default_factory=dict)
    problem: tuple[Position, str, str] | None = None
    respelled: set[str] = field(default_factory=set)

    def merge(self, other: Found) -> None:
        """Add the survey result for other parts of the files to this survey result."""
        for name, seen in other.columns.items():
            self.columns.setdefault(name, FieldSurvey()).merge(seen)
        self.rows += other.rows
        self.lines |= other.lines
        self.respelled |= other.respelled
        problems = [problem for problem in (self.problem, other.problem) if problem is not None]
        self.problem = min(problems, default=None)

    def to_json(self) -> str:
        """Return the result as JSON, to be sent to the driver."""
        plain = {"rows": self.rows, "lines": list(self.lines.items()), "problem": self.problem}
        columns = {name: seen.to_dict() for name, seen in self.columns.items()}
        return json.dumps(plain | {"columns": columns, "respelled": list(self.respelled)})

    @classmethod
    def from_json(cls, text: str) -> Found:
        """Create a `Found` from the JSON that `to_json` returned."""
        plain = json.loads(text)
        problem = plain["problem"]
        return cls(
            {name: FieldSurvey.from_dict(seen) for name, seen in plain["columns"].items()},
            plain["rows"],
            dict(plain["lines"]),
            None if problem is None else ((problem[0][0], problem[0][1]), problem[1], problem[2]),
            set(plain["respelled"]),
        )


def survey_parts(share: Share) -> str:
    """Survey parts of files until the first problem, and return a `Found` as JSON."""
    found = Found()
    declared = None if share.declared is None else _Declared.of_types(share.declared, share.formats)
    for part in share.parts:
        _survey_part(part, share, declared, found)
        if found.problem is not None:
            break
    return found.to_json()


@dataclass(frozen=True)
class _Declared:
    """The checks for the declared columns.

    Attributes:
        checks: for each column whose values are checked, the function that checks a value.
        integers: the columns declared as integers, or as nested types with integers.
    """

    checks: Mapping[str, Check]
    integers: Collection[str]

    @classmethod
    def of_types(cls, types: Mapping[str, pa.DataType | None], formats: Formats) -> _Declared:
        known = {name: arrow_type for name, arrow_type in types.items() if arrow_type is not None}
        return cls(
            {name: check_of(arrow_type, formats) for name, arrow_type in known.items()},
            {name for name, arrow_type in known.items() if has_integers(arrow_type)},
        )


def _survey_part(part: Part, share: Share, declared: _Declared | None, found: Found) -> None:
    records = _Records(part, share)
    try:
        for line, record in records:
            found.rows += 1
            _add_record(record, (part.number, line), declared, found)
    except RecordError as error:
        found.problem = (part.number, records.line + error.line), error.reason, error.detail
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        found.problem = (part.number, records.line), "unreadable", type(error).__name__
    found.lines[part.number] = records.line


def _add_record(record: dict[str, Any], position: Position, declared: _Declared | None, found: Found) -> None:
    for name, value in record.items():
        column = found.columns.get(name)
        if column is None:
            column = found.columns[name] = FieldSurvey()
        if declared is None:
            column.add(value, position)
            continue
        # The type is declared, so values are only counted as NULL or not NULL: an empty string stands for any value.
        column.add(None if value is None else "", position)
        if (check := declared.checks.get(name)) is not None and (misfit := check(value)):
            column.add_misfit(misfit, position)
        if name in declared.integers and has_reals(value):
            found.respelled.add(name)


class _Records:
    """An iterable over the records in part of a JSON file, each with its line number.

    Attributes:
        line: the number of the last line that was read, counted from 1 at the start of the part; 0 before the first
            line. It stays 1 if the whole file is one JSON value.
    """

    def __init__(self, part: Part, share: Share) -> None:
        self.line = 0
        self._part, self._form, self._drops_bad = part, share.form, share.drops_bad
        self._decoder = share.form.decoder()

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return self._of_file() if self._form.is_multiline else self._of_lines()

    def _of_file(self) -> Iterator[tuple[int, dict[str, Any]]]:
        self.line = 1
        with open_bytes(self._part.path) as file:
            text = decode(file.read(), self._form.encoding, is_first=True)
        yield from records_of_file(text, self._decoder)

    def _of_lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        part, form = self._part, self._form
        is_start = part.start == 0
        is_wide = codecs.lookup(form.encoding).name.startswith("utf-16")
        for content in read_lines(part.path, part.start, part.end, form.separator):
            self.line += 1
            bare = content.removesuffix(form.separator or b"")
            if is_wide and is_start and self.line == 1 and bare.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise RecordError("encoding", MARK_OF_LINES)
            text = decode(bare, form.encoding, is_first=is_start and self.line == 1)
            try:
                records = records_of_line(text, self._decoder)
            except RecordError as error:
                if self._drops_bad and error.reason in {"json", "spans", "object"}:
                    continue
                raise RecordError(error.reason, error.detail) from None
            for record in records:
                yield self.line, record
