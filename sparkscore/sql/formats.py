"""Write a query's result as a table for people, as CSV or as JSON. Runs on the driver."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ScoringError
from sparkscore.printable import printable
from sparkscore.sql.cells import Texts, json_object, json_texts, quoted, texts

Writer = Callable[[pa.Table], Iterator[str]]

# Rows that are written at a time, so that a program that reads the first ones need not wait for all.
_ROWS: Final = 1000
# Readers of CSV may remove spaces around a field without quotes.
_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]|^\s|\s$|^$')
_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


def as_csv(table: pa.Table) -> Iterator[str]:
    r"""Return the lines of a CSV file with a header, as PostgreSQL's ``COPY`` writes it.

    NULL is a field without anything, and an empty string is ``""``. The text ``NULL`` is a text like all others.

    >>> list(as_csv(pa.table({"a": ["", None, 'x"y'], "b": [1.5, float("nan"), None]})))
    ['a,b\n', '"",1.5\n,NaN\n"x""y",\n']
    """
    if table.num_columns:
        yield _csv_line(table.column_names)
    for columns in _parts(table, texts):
        yield "".join(map(_csv_line, zip(*columns, strict=True)))


def _csv_line(values: Sequence[str | None]) -> str:
    return ",".join(map(_csv_field, values)) + "\n"


def _csv_field(value: str | None) -> str:
    if value is None:
        return ""
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) else value


def as_json(table: pa.Table) -> Iterator[str]:
    r"""Return lines of JSON: an object for each row, with the columns in the order of the query.

    >>> list(as_json(pa.table({"a": ["", None], "b": [1, 2**62]})))
    ['{"a":"","b":1}\n{"a":null,"b":4611686018427387904}\n']
    """
    names = [quoted(name) for name in table.column_names]
    for columns in _parts(table, json_texts):
        yield "".join(f"{json_object(names, row)}\n" for row in zip(*columns, strict=True))


def as_table(table: pa.Table) -> Iterator[str]:
    """Return a table in the frame of `DataFrame.show`. Control characters in values are escaped."""
    if not table.num_columns:
        return
    columns = [[] for _ in table.columns]  # type: list[list[str]]
    for part in _parts(table, texts):
        for column, values in zip(columns, part, strict=True):
            column += ["NULL" if value is None else printable(value) for value in values]
    names = [printable(name) for name in table.column_names]
    widths = [max(map(_width, [name, *values])) for name, values in zip(names, columns, strict=True)]
    is_number = [any(is_one(type_) for is_one in _NUMBERS) for type_ in table.schema.types]
    edge = "+" + "+".join("-" * width for width in widths) + "+\n"
    yield edge + _line(names, widths, is_number) + edge
    for row in zip(*columns, strict=True):
        yield _line(row, widths, is_number)
    yield edge


def _width(text: str) -> int:
    # Imported here because other formats do not need rich.
    from rich.cells import cell_len  # noqa: PLC0415

    return cell_len(text)


def _line(values: Sequence[str], widths: Sequence[int], is_number: Sequence[bool]) -> str:
    cells = []
    for value, width, is_right in zip(values, widths, is_number, strict=True):
        space = " " * (width - _width(value))
        cells.append(space + value if is_right else value + space)
    return "|" + "|".join(cells) + "|\n"


FORMATS: Final[Mapping[str, Writer]] = MappingProxyType({"table": as_table, "csv": as_csv, "json": as_json})


def _parts(table: pa.Table, write: Callable[[pa.Array], Texts]) -> Iterator[list[Texts]]:
    """Return the texts of each column, for some rows at a time."""
    for start in range(0, table.num_rows, _ROWS):
        part = table.slice(start, _ROWS).combine_chunks()
        yield [_written(name, column, write) for name, column in zip(part.column_names, part.columns, strict=True)]


def _written(name: str, column: pa.ChunkedArray, write: Callable[[pa.Array], Texts]) -> Texts:
    try:
        return [text for chunk in column.chunks for text in write(chunk)]
    except UnicodeDecodeError:
        raise ScoringError(
            code=ErrorCode.SQL_RESULT,
            what=f"column '{name}' of the result",
            got="a text that is not UTF-8",
            expected="UTF-8, which all formats need",
            state="The result is incomplete.",
            next_step=f"Select CAST({name} AS BINARY), which is printed in Base64.",
        ) from None
