"""Decide from the footers of Parquet files how each is read, and refuse what Spark would change (driver)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from pyspark.sql.types import (
    DataType,
    DecimalType,
    NullType,
    StringType,
    StructField,
    StructType,
)

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError
from sparkscore.plan import InputFile
from sparkscore.sources.footers import Footer
from sparkscore.sources.parquet_types import (
    FileType,
    common_type,
    filled,
    has_null_inside,
    in_order_of,
    is_castable,
    is_same,
    is_shape_of,
    merged,
)
from sparkscore.sources.schema_line import schema_line

# Source: Spark comes with no codec of these names.
_NO_CODECS: Final = frozenset({"BROTLI", "LZO"})


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
