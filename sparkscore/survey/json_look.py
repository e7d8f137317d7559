"""Look at parts of JSON files: what is no record, and what the columns hold (driver and worker)."""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from sparkscore.survey.json_fits import Check, Formats, check_of, has_integers, has_reals
from sparkscore.survey.json_kinds import Place, Seen
from sparkscore.survey.json_records import JsonForm, RecordError, decode, records_of_file, records_of_line
from sparkscore.survey.text_bytes import MARK_OF_LINES
from sparkscore.survey.text_lines import open_text, read_lines


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes:
        number: its place among all parts.
        path: the file.
        start: its first byte.
        end: the first byte behind it; None for the end of the file.
    """

    number: int
    path: str
    start: int = 0
    end: int | None = None


@dataclass(frozen=True)
class Share:
    """What one call looks at.

    Attributes:
        parts: parts of files.
        form: how the files are written.
        declared: the declared columns, None for a type that is not checked; None where types are to be found.
        formats: what the deployment says of dates and times.
        drops_bad: whether a line that is no record is Spark's matter, as the deployment says.
    """

    parts: tuple[Part, ...]
    form: JsonForm
    declared: Mapping[str, pa.DataType | None] | None = None
    formats: Formats = field(default_factory=Formats)
    drops_bad: bool = False


@dataclass
class Found:
    """What was found.

    Attributes:
        columns: what the columns hold.
        rows: how many records there are.
        lines: for each part how many lines begin in it.
        problem: the first thing that is no record: its place, its kind, more words.
        respelled: columns declared as integers in which some are written as ``5.0`` or ``5e0``.
    """

    columns: dict[str, Seen] = field(default_factory=dict)
    rows: int = 0
    lines: dict[int, int] = field(default_factory=dict)
    problem: tuple[Place, str, str] | None = None
    respelled: set[str] = field(default_factory=set)

    def merge(self, other: Found) -> None:
        """Add what was found elsewhere."""
        for name, seen in other.columns.items():
            self.columns.setdefault(name, Seen()).merge(seen)
        self.rows += other.rows
        self.lines |= other.lines
        self.respelled |= other.respelled
        problems = [problem for problem in (self.problem, other.problem) if problem is not None]
        self.problem = min(problems, default=None)

    def to_text(self) -> str:
        """Write it for the driver."""
        plain = {"rows": self.rows, "lines": list(self.lines.items()), "problem": self.problem}
        columns = {name: seen.as_plain() for name, seen in self.columns.items()}
        return json.dumps(plain | {"columns": columns, "respelled": list(self.respelled)})

    @classmethod
    def of_text(cls, text: str) -> Found:
        """Read what `to_text` wrote."""
        plain = json.loads(text)
        problem = plain["problem"]
        return cls(
            {name: Seen.of_plain(seen) for name, seen in plain["columns"].items()},
            plain["rows"],
            dict(plain["lines"]),
            None if problem is None else ((problem[0][0], problem[0][1]), problem[1], problem[2]),
            set(plain["respelled"]),
        )


def look(share: Share) -> str:
    """Look at parts of files, up to the first thing that is no record."""
    found = Found()
    declared = None if share.declared is None else _Declared.of_types(share.declared, share.formats)
    for part in share.parts:
        _look_at(part, share, declared, found)
        if found.problem is not None:
            break
    return found.to_text()


@dataclass(frozen=True)
class _Declared:
    """The declared columns: the check of each, and those with integers."""

    checks: Mapping[str, Check]
    integers: Collection[str]

    @classmethod
    def of_types(cls, types: Mapping[str, pa.DataType | None], formats: Formats) -> _Declared:
        known = {name: kind for name, kind in types.items() if kind is not None}
        return cls(
            {name: check_of(kind, formats) for name, kind in known.items()},
            {name for name, kind in known.items() if has_integers(kind)},
        )


def _look_at(part: Part, share: Share, declared: _Declared | None, found: Found) -> None:
    records = _Records(part, share)
    try:
        for line, record in records:
            found.rows += 1
            _note(record, (part.number, line), declared, found)
    except RecordError as error:
        found.problem = (part.number, records.line + error.line), error.kind, error.told
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        found.problem = (part.number, records.line), "unreadable", type(error).__name__
    found.lines[part.number] = records.line


def _note(record: dict[str, Any], place: Place, declared: _Declared | None, found: Found) -> None:
    for name, value in record.items():
        seen = found.columns.get(name)
        if seen is None:
            seen = found.columns[name] = Seen()
        if declared is None:
            seen.add(value, place)
            continue
        seen.add(None if value is None else "", place)
        if (check := declared.checks.get(name)) is not None and (told := check(value)):
            seen.add_misfit(told, place)
        if name in declared.integers and has_reals(value):
            found.respelled.add(name)


class _Records:
    """The records of a part, each with its line; knows how far it is."""

    def __init__(self, part: Part, share: Share) -> None:
        self.line = 0
        self._part, self._form, self._drops_bad = part, share.form, share.drops_bad
        self._decoder = share.form.decoder()

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return self._of_file() if self._form.is_multiline else self._of_lines()

    def _of_file(self) -> Iterator[tuple[int, dict[str, Any]]]:
        self.line = 1
        with open_text(self._part.path) as file:
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
                if self._drops_bad and error.kind in {"json", "spans", "object"}:
                    continue
                raise RecordError(error.kind, error.told) from None
            for record in records:
                yield self.line, record
