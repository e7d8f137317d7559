"""Decide from the footers of Parquet files how each is read, and refuse what Spark would change (driver)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql.types import (
    DataType,
    DecimalType,
    NullType,
    StringType,
    StructField,
    StructType,
)

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceSchemaError
from sparkscore.plan import InputFile
from sparkscore.sources.parquet_types import (
    FileType,
    common_type,
    file_type,
    filled,
    has_null_inside,
    in_order_of,
    is_castable,
    is_same,
    is_shape_of,
    merged,
)
from sparkscore.sources.reading import read_each
from sparkscore.sources.schema_line import schema_line
from sparkscore.spark.map_in_arrow import map_on_workers
from sparkscore.survey.int96_times import find_nanoseconds

# Source: Spark comes with no codec of these names.
_NO_CODECS: Final = frozenset({"BROTLI", "LZO"})


@dataclass(frozen=True)
class Footer:
    """What the footer of a file says.

    Attributes:
        columns: the types of the columns, in their order.
        codecs: how their values are packed.
        old_times: columns of times in a form with nanoseconds, of which Spark cuts off the last three digits.
        is_empty: whether the file has no rows, so that its types say nothing.
    """

    columns: Mapping[str, FileType]
    codecs: frozenset[str]
    old_times: frozenset[str] = frozenset()
    is_empty: bool = False


@dataclass(frozen=True)
class Group:
    """Files that are read alike.

    Attributes:
        files: the files.
        columns: the types of the columns that are read.
    """

    files: tuple[InputFile, ...]
    columns: Mapping[str, FileType]


@dataclass(frozen=True)
class ParquetPlan:
    """How files are read whose types differ, or are no types of Spark's.

    Attributes:
        schema: the columns of all of them.
        groups: the files, by the types that they have.
    """

    schema: StructType
    groups: tuple[Group, ...]


def read_footers(files: Sequence[InputFile]) -> list[Footer | None]:
    """Read the footers of files; None for a file whose footer cannot be read, which Spark tells better."""
    kept: dict[_Raw, Footer] = {}
    return [_kept(raw, kept) for raw in read_each(_read, [file.path for file in files])]


@dataclass(frozen=True)
class _Raw:
    """What tells one footer from another; many files have few different ones."""

    schema: bytes
    old_times: frozenset[str]
    codecs: frozenset[str]
    is_by_spark: bool
    is_empty: bool


def _read(path: str) -> _Raw | None:
    try:
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
    except (OSError, pa.ArrowException):
        return None
    groups = [metadata.row_group(group) for group in range(min(1, metadata.num_row_groups))]
    codecs = frozenset(group.column(index).compression for group in groups for index in range(group.num_columns))
    old = frozenset[str]()
    if "int96" in str(metadata.schema):
        leaves = [metadata.schema.column(index) for index in range(metadata.num_columns)]
        paths = [f"{leaf.path}." for leaf in leaves if leaf.physical_type == "INT96"]
        old = frozenset(name for name in schema.names if any(path.startswith(f"{name}.") for path in paths))
    is_by_spark = any(key.startswith(b"org.apache.spark") for key in metadata.metadata or ())
    known = schema.remove_metadata().serialize().to_pybytes()
    return _Raw(known, old, codecs, is_by_spark=is_by_spark, is_empty=not metadata.num_rows)


def _kept(raw: _Raw | None, kept: dict[_Raw, Footer]) -> Footer | None:
    if raw is None:
        return None
    if raw not in kept:
        schema = pa.ipc.read_schema(pa.py_buffer(raw.schema))
        columns = {field.name: file_type(field, is_int96=field.name in raw.old_times) for field in schema}
        # Spark has microseconds only, whatever the form.
        old_times = frozenset[str]() if raw.is_by_spark else raw.old_times
        kept[raw] = Footer(columns, raw.codecs, old_times, raw.is_empty)
    return kept[raw]


def names_of(footers: Sequence[Footer | None]) -> list[tuple[str, ...] | None]:
    """Give the columns of each file."""
    return [None if footer is None else tuple(footer.columns) for footer in footers]


def refuse_cut_times(
    spark: SparkSession, files: Sequence[InputFile], footers: Sequence[Footer | None], columns: Collection[str]
) -> None:
    """Refuse times in the old form that have parts of a microsecond; reads these columns on the workers.

    Raises:
        SourceError: with file and column.
    """
    places = [
        (file.path, tuple(sorted(footer.old_times.intersection(columns))))
        for file, footer in zip(files, footers, strict=True)
        if footer is not None and footer.old_times.intersection(columns)
    ]
    for answer in map_on_workers(spark, find_nanoseconds, [(place,) for place in places]):
        if answer:
            path, name = json.loads(answer)
            raise SourceError(
                code=ErrorCode.INPUT_VALUE,
                what=f"column '{name}' of the Parquet file '{path}'",
                got="a time with parts of a microsecond, in the old form INT96",
                expected="times that Spark holds exactly",
                next_step="Write the column in microseconds, in pandas by .dt.floor('us'), or leave it out with "
                "'input.columns'.",
            )


def plan_parquet(
    files: Sequence[InputFile],
    footers: Sequence[Footer | None],
    declared: StructType | None,
    wanted: Collection[str] | None,
) -> ParquetPlan | None:
    """Decide how files are read; None where Spark reads all of them alike and as they are.

    Args:
        files: the files.
        footers: their footers.
        declared: the declared columns.
        wanted: the columns that are read; None for all.

    Raises:
        SourceSchemaError: a column has another type in another file, or one that Spark cannot read or would change.
    """
    if None in footers:
        return None
    return _Planner(files, [footer for footer in footers if footer is not None], declared, wanted).plan()


class _Planner:
    """Decides over the footers of all files."""

    def __init__(
        self,
        files: Sequence[InputFile],
        footers: Sequence[Footer],
        declared: StructType | None,
        wanted: Collection[str] | None,
    ) -> None:
        self._files, self._footers = files, footers
        # Each footer that is another one, with the first file that has it.
        firsts: dict[int, tuple[Footer, InputFile]] = {}
        for footer, file in zip(footers, files, strict=True):
            firsts.setdefault(id(footer), (footer, file))
        self._firsts = list(firsts.values())
        self._has_rows = not all(footer.is_empty for footer, _ in self._firsts)
        self._declared = {} if declared is None else {field.name: field.dataType for field in declared}
        present = list(dict.fromkeys(name for footer, _ in self._firsts for name in footer.columns))
        chosen = present if wanted is None else [name for name in present if name in wanted]
        self._names = [name for name in chosen if not self._declared or name in self._declared]
        # Spark looks at the types of all columns of a file, also of those that are left out.
        left_out = [name for name in present if name not in self._names]
        self._is_planned = any(_is_foreign(kind) for name in left_out for kind in self._found(name))

    def plan(self) -> ParquetPlan | None:
        self._refuse_codecs()
        types = {name: self._type_of(name) for name in self._names}
        if not (self._is_planned or self._have_empty_ones_other_types(types)):
            return None
        groups: dict[tuple[FileType | None, ...], list[InputFile]] = {}
        for file, footer in zip(self._files, self._footers, strict=True):
            if footer.is_empty and self._has_rows:
                continue
            groups.setdefault(tuple(footer.columns.get(name) for name in types), []).append(file)
        return ParquetPlan(
            StructType([StructField(*column) for column in types.items()]),
            tuple(
                Group(tuple(files), {name: found for name, found in zip(types, key, strict=True) if found is not None})
                for key, files in groups.items()
            ),
        )

    def _have_empty_ones_other_types(self, types: Mapping[str, DataType]) -> bool:
        """Tell whether Spark would stumble over the types of files that have no rows."""
        kinds = [
            (types[name], kind.spark)
            for footer, _ in self._firsts
            if footer.is_empty
            for name, kind in footer.columns.items()
            if name in types
        ]
        return any(kind is None or not is_same(told, kind) for told, kind in kinds)

    def _refuse_codecs(self) -> None:
        for footer, file in self._firsts:
            if wrong := footer.codecs & _NO_CODECS:
                raise SourceSchemaError(
                    code=ErrorCode.INPUT_CODEC,
                    what=f"Parquet file '{file.path}'",
                    got=f"values packed with {min(wrong)}",
                    expected="snappy, zstd, gzip, lz4 or none, which Spark unpacks",
                    next_step="Write the file with one of them, in pandas by compression='zstd'.",
                )

    def _found(self, name: str) -> dict[FileType, InputFile]:
        """Give the types that a column has, each with the first file of it."""
        found: dict[FileType, InputFile] = {}
        for footer, file in sorted(self._firsts, key=lambda first: first[0].is_empty):
            kind = footer.columns.get(name)
            if kind is not None and not (footer.is_empty and self._has_rows and found):
                found.setdefault(kind, file)
        return found

    def _type_of(self, name: str) -> DataType:
        found = self._found(name)
        target = self._declared.get(name)
        if target is not None:
            for kind, file in found.items():
                self._fit(name, kind, file, target)
            return target
        types: dict[FileType, InputFile] = {}
        told: DataType = NullType()
        for kind, file in found.items():
            if kind.spark is None:
                self._refuse_type(name, kind, file)
            both = merged(told, kind.spark)
            if both is None:
                self._refuse_two(name, types, kind, file)
            types[kind], told = file, both
        told = filled(told, StringType())
        self._note_plan(name, found, told)
        return told

    def _note_plan(self, name: str, found: Mapping[FileType, InputFile], told: DataType) -> None:
        """Note whether the files cannot be left to Spark."""
        for kind, file in found.items():
            is_untyped = kind.is_null or (kind.spark is not None and has_null_inside(kind.spark))
            if is_untyped and not kind.is_null and not is_shape_of(in_order_of(kind.spark or told, told), told):
                self._refuse_inside(name, kind, file, told)
            is_other = isinstance(told, DecimalType) and not is_same(told, kind.spark or told)
            if kind.is_nanos or is_untyped or is_other:
                self._is_planned = True

    def _fit(self, name: str, kind: FileType, file: InputFile, target: DataType) -> None:
        """Note how a declared type is read, or refuse it."""
        if "char" in target.simpleString() or (kind.spark is not None and is_same(kind.spark, target)):
            self._is_planned = self._is_planned or kind.is_nanos
            return
        self._is_planned = True
        if kind.is_null or (kind.stored is not None and is_same(kind.stored, target)):
            return
        if (
            kind.spark is not None
            and has_null_inside(kind.spark)
            and is_shape_of(in_order_of(kind.spark, target), target)
        ):
            return
        if kind.spark is None:
            self._refuse_type(name, kind, file)
        if kind.is_nanos or not is_castable(kind.spark, target):
            of_files = {_spark(each) for each in self._found(name)}
            advice = (
                f"Declare it as the files have it, and convert it in the script: "
                f"'input.schema: {self._line({name: _spark(kind)})}'"
                if len(of_files) == 1
                else f"The files have it as {' and '.join(sorted(of_files))}: write it with one type, or leave it "
                "out of 'input.schema'"
            )
            raise SourceSchemaError(
                code=ErrorCode.INPUT_TYPES,
                what=f"column '{name}' of the parquet files, declared {target.simpleString()}",
                got=f"{_told(kind)} in '{file.path}'",
                expected="a type whose values the declared one holds",
                next_step=f"{advice}.",
            )

    def _refuse_type(self, name: str, kind: FileType, file: InputFile) -> NoReturn:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{name}' of the Parquet file '{file.path}'",
            got=f"type {kind.told}",
            expected="a type that Spark reads with its meaning",
            next_step=f"Correct the files: {kind.fix or 'write it as another type'}. Or leave the column out with "
            "'input.columns'.",
        )

    def _refuse_inside(self, name: str, kind: FileType, file: InputFile, told: DataType) -> NoReturn:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{name}' of the Parquet file '{file.path}'",
            got=f"type {kind.told}, whose inner values are all NULL or absent",
            expected=f"the parts of {told.simpleString()}, as elsewhere",
            next_step="Write the file with a schema, or leave the column out with 'input.columns'.",
        )

    def _refuse_two(self, name: str, types: Mapping[FileType, InputFile], kind: FileType, file: InputFile) -> NoReturn:
        first, other = next((each, where) for each, where in types.items() if not each.is_null)
        common = common_type(first.spark, kind.spark)
        advice = (
            f"Declare the type that holds both: 'input.schema: {self._line({name: common})}'; each value is checked"
            if common
            else "Write the column with one type in all files, or leave it out with 'input.columns'"
        )
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{name}' of the parquet files",
            got=f"{_told(first)} in '{other.path}' and {_told(kind)} in '{file.path}'",
            expected="one type in all files",
            next_step=f"{advice}.",
        )

    def _line(self, changed: Mapping[str, str]) -> str:
        types = {name: _spark(next(iter(self._found(name)))) for name in self._names}
        return schema_line({**types, **{name: kind.simpleString() for name, kind in self._declared.items()}}, changed)


def _is_foreign(kind: FileType) -> bool:
    return kind.spark is None or kind.stored is not None or kind.is_null or has_null_inside(kind.spark)


def _spark(kind: FileType) -> str:
    if kind.is_null:
        return "string"
    told = kind.spark or kind.stored
    return "string" if told is None else told.simpleString()


def _told(kind: FileType) -> str:
    told = kind.told if kind.spark is None else kind.spark.simpleString()
    return f"{told} ({kind.told})" if kind.is_nanos else told
