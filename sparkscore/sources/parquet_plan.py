"""Plan how Parquet files are read, and raise an error for types whose values Spark would change. Runs on the driver.

If Spark reads all files together correctly, no plan is needed. Otherwise, files with the same column types form a
group. Each group is read separately, and its values are converted to the types of the input.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from pyspark.sql.types import (
    DataType,
    DecimalType,
    DoubleType,
    IntegralType,
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
    widened,
)
from sparkscore.sources.schema_line import schema_line
from sparkscore.sources.worker_only import refused_codec

# Neither Spark nor PyArrow includes this codec. PyArrow, but not Spark, includes Brotli.
_NO_CODEC: Final = "LZO"


@dataclass(frozen=True)
class Group:
    """Parquet files that are read with the same schema.

    Attributes:
        files: the files.
        columns: the columns that are read, with their types in these files.
    """

    files: tuple[InputFile, ...]
    columns: Mapping[str, FileType]


@dataclass(frozen=True)
class ParquetPlan:
    """A plan for reading Parquet files in groups, because Spark would not read all of them together correctly.

    If there is only one group, all files have the same types, but their values must be converted.

    Attributes:
        schema: the columns of the input, with the types to which the values are converted.
        groups: the files, grouped by their column types. Files without rows are left out, unless no file has rows.
    """

    schema: StructType
    groups: tuple[Group, ...]


def plan_parquet(
    files: Sequence[InputFile],
    footers: Sequence[Footer | None],
    declared: StructType | None,
    wanted: Collection[str] | None,
) -> ParquetPlan | None:
    """Return the plan for reading Parquet files in groups, or None if Spark may read all of them together.

    Args:
        files: the files.
        footers: the footer of each file, or None for a footer that cannot be read. If there is such a footer, the
            result is None, because Spark's own error about the file is more precise.
        declared: the declared columns, or None if none are declared.
        wanted: the columns that the run uses, or None for all columns.

    Raises:
        SourceSchemaError: a file has a type or compression that Spark cannot read; or a column has types that cannot be
            merged or cannot be cast to the declared type.
    """
    if None in footers:
        return None
    return _Planner(files, [footer for footer in footers if footer is not None], declared, wanted).plan()


class _Planner:
    """Uses the footers of Parquet files to create the plan for reading the files."""

    def __init__(
        self,
        files: Sequence[InputFile],
        footers: Sequence[Footer],
        declared: StructType | None,
        wanted: Collection[str] | None,
    ) -> None:
        self._files, self._footers = files, footers
        # The distinct footers, each with the first file that has it. Equal footers are the same object.
        firsts: dict[int, tuple[Footer, InputFile]] = {}
        for footer, file in zip(footers, files, strict=True):
            firsts.setdefault(id(footer), (footer, file))
        self._firsts = list(firsts.values())
        self._has_rows = not all(footer.is_empty for footer, _ in self._firsts)
        self._declared = {} if declared is None else {field.name: field.dataType for field in declared}
        present = list(dict.fromkeys(name for footer, _ in self._firsts for name in footer.columns))
        chosen = present if wanted is None else [name for name in present if name in wanted]
        self._names = [name for name in chosen if not self._declared or name in self._declared]
        # Spark reads the types of all columns in a file, even of columns that are left out.
        left_out = [name for name in present if name not in self._names]
        self._is_planned = any(_is_foreign(found) for name in left_out for found in self._found(name))

    def plan(self) -> ParquetPlan | None:
        """Return the plan, or None if Spark reads all files together correctly.

        Raises:
            SourceSchemaError: see `plan_parquet`.
        """
        self._refuse_codec()
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
        """Return whether a file without rows has a column whose type differs from the one in `types`.

        Spark may not be able to read such a file together with the other files.

        Args:
            types: the type that each column gets when the input is read, by column name.
        """
        pairs = [
            (types[name], found.spark)
            for footer, _ in self._firsts
            if footer.is_empty
            for name, found in footer.columns.items()
            if name in types
        ]
        return any(of_file is None or not is_same(of_input, of_file) for of_input, of_file in pairs)

    def _refuse_codec(self) -> None:
        """Raise an error if a file's first row group is compressed with a codec that no reader includes."""
        for footer, file in self._firsts:
            if _NO_CODEC in footer.codecs:
                raise refused_codec(file.path, _NO_CODEC)

    def _found(self, name: str) -> dict[FileType, InputFile]:
        """Return the distinct types of a column, each with the first file that has it.

        If any file has rows, files without rows are ignored. But if only files without rows have the column, the
        type in the first of them is returned. If no file has rows, the types in all files are returned.
        """
        found: dict[FileType, InputFile] = {}
        for footer, file in sorted(self._firsts, key=lambda first: first[0].is_empty):
            file_type = footer.columns.get(name)
            if file_type is not None and not (footer.is_empty and self._has_rows and found):
                found.setdefault(file_type, file)
        return found

    def _type_of(self, name: str) -> DataType:
        """Return a column's type in the input: the declared type, or a type that can hold the values of all files.

        Raises:
            SourceSchemaError: there is no such type, Spark cannot read the type in a file, or the values of a file
                cannot be cast to the declared type.
        """
        found = self._found(name)
        target = self._declared.get(name)
        if target is not None:
            for file_type, file in found.items():
                self._check_declared(name, file_type, file, target)
            return target
        types: dict[FileType, InputFile] = {}
        common: DataType = NullType()
        for file_type, file in found.items():
            if file_type.spark is None:
                self._refuse_type(name, file_type, file)
            both = merged(common, file_type.spark) or widened(common, file_type.spark)
            if both is None:
                self._refuse_two(name, types, file_type, file)
            types[file_type], common = file, both
        common = filled(common, StringType())
        self._note_plan(name, found, common)
        return common

    def _note_plan(self, name: str, found: Mapping[FileType, InputFile], common: DataType) -> None:
        """Set `self._is_planned` to True if Spark cannot read a column directly as its common type.

        The files must then be read with a `ParquetPlan`.

        Args:
            name: the name of the column.
            found: the types of the column, each with the first file that has it.
            common: the type that can hold the values of all files.

        Raises:
            SourceSchemaError: a nested column has a field with only NULLs in one file, and cannot be cast to the
                common type.
        """
        for file_type, file in found.items():
            is_untyped = file_type.is_null or (file_type.spark is not None and has_null_inside(file_type.spark))
            is_nested = is_untyped and not file_type.is_null
            if is_nested and not is_shape_of(in_order_of(file_type.spark or common, common), common):
                self._refuse_inside(name, file_type, file, common)
            is_wider = isinstance(common, (DecimalType, DoubleType, IntegralType))
            is_other = is_wider and not is_same(common, file_type.spark or common)
            if file_type.is_nanos or file_type.needs_worker or is_untyped or is_other:
                self._is_planned = True

    def _check_declared(self, name: str, file_type: FileType, file: InputFile, target: DataType) -> None:
        """Check that a column's values in a file can be read as the declared type or cast to it.

        Also set `self._is_planned` to True if Spark cannot read the column directly as the declared type.

        Raises:
            SourceSchemaError: Spark cannot read the column's type in the file, or the column's values cannot be cast to
                the declared type.
        """
        if file_type.spark is not None and is_same(file_type.spark, target):
            self._is_planned = self._is_planned or file_type.is_nanos or file_type.needs_worker
            return
        self._is_planned = True
        if file_type.is_null or (file_type.stored is not None and is_same(file_type.stored, target)):
            return
        if (
            file_type.spark is not None
            and has_null_inside(file_type.spark)
            and is_shape_of(in_order_of(file_type.spark, target), target)
        ):
            return
        if file_type.spark is None:
            self._refuse_type(name, file_type, file)
        if file_type.is_nanos or not is_castable(file_type.spark, target):
            self._refuse_declared(name, file_type, file, target)

    def _refuse_declared(self, name: str, file_type: FileType, file: InputFile, target: DataType) -> NoReturn:
        """Raise the error for a column whose values in a file cannot be cast to the declared type.

        Args:
            name: the name of the column.
            file_type: the type of the column in the file.
            file: the file.
            target: the declared type.
        """
        of_files = {_declarable(each) for each in self._found(name)}
        advice = (
            f"Declare it as the files have it, and convert it in the script: "
            f"'input.schema: {self._line({name: _declarable(file_type)})}'"
            if len(of_files) == 1
            else f"The files have it as {' and '.join(sorted(of_files))}: write it with one type, or leave it "
            "out of 'input.schema'"
        )
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{name}' of the parquet files, declared {target.simpleString()}",
            got=f"{_type_text(file_type)} in '{file.path}'",
            expected="a type whose values the declared one holds",
            next_step=f"{advice}.",
        )

    def _refuse_type(self, name: str, file_type: FileType, file: InputFile) -> NoReturn:
        """Raise the error for a type that Spark cannot read, or whose values it would misinterpret."""
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{name}' of the Parquet file '{file.path}'",
            got=f"type {file_type.arrow_type}",
            expected="a type that Spark reads with its meaning",
            next_step=f"Correct the files: {file_type.fix or 'write it as another type'}. Or leave the column out with "
            "'input.columns'.",
        )

    def _refuse_inside(self, name: str, file_type: FileType, file: InputFile, common: DataType) -> NoReturn:
        """Raise the error for a nested column that has a field with only NULLs and cannot be cast to the common type.

        Args:
            name: the name of the column.
            file_type: the type of the column in the file.
            file: the file.
            common: the type of the column in the other files.
        """
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{name}' of the Parquet file '{file.path}'",
            got=f"type {file_type.arrow_type}, whose inner values are all NULL or absent",
            expected=f"the parts of {common.simpleString()}, as in the other files",
            next_step="Write the file with a schema, or leave the column out with 'input.columns'.",
        )

    def _refuse_two(
        self, name: str, types: Mapping[FileType, InputFile], file_type: FileType, file: InputFile
    ) -> NoReturn:
        """Raise the error for a column whose type in one file cannot be merged with its types in earlier files.

        Args:
            name: the name of the column.
            types: the types in the earlier files, each with one file.
            file_type: the type that cannot be merged.
            file: the file with that type.
        """
        first, first_file = next((each, where) for each, where in types.items() if not each.is_null)
        common = common_type(first.spark, file_type.spark)
        advice = (
            f"Declare the type that holds both: 'input.schema: {self._line({name: common})}'; each value is checked"
            if common
            else "Write the column with one type in all files, or leave it out with 'input.columns'"
        )
        raise SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{name}' of the parquet files",
            got=f"{_type_text(first)} in '{first_file.path}' and {_type_text(file_type)} in '{file.path}'",
            expected="one type in all files",
            next_step=f"{advice}.",
        )

    def _line(self, changed: Mapping[str, str]) -> str:
        """Return a value for 'input.schema' that an error message can suggest, with the types of some columns replaced.

        The value contains the declared columns or, if none are declared, the columns that the run uses. If it would be
        too long, it contains only the columns whose types are replaced; see `schema_line`.

        Args:
            changed: the columns whose types are replaced, with their new types.
        """
        types = {name: _declarable(next(iter(self._found(name)))) for name in self._names}
        declared = {name: data_type.simpleString() for name, data_type in self._declared.items()}
        return schema_line({**types, **declared}, changed)


def _is_foreign(file_type: FileType) -> bool:
    """Return whether Spark cannot read a type in a Parquet file directly.

    This is the case if Spark has no type for the values or cannot read them, if Spark reads them as a different type,
    or if all values of the column or of a nested part are NULL.
    """
    if file_type.spark is None or file_type.needs_worker:
        return True
    return file_type.stored is not None or file_type.is_null or has_null_inside(file_type.spark)


def _declarable(file_type: FileType) -> str:
    """Return the type that an error message suggests for a column in 'input.schema'.

    If Spark has no type for the values but can read them as another type, the result is that type, such as ``bigint``
    for durations. If all values are NULL, or if Spark cannot read the values, the result is ``string``.
    """
    if file_type.is_null:
        return "string"
    found = file_type.spark or file_type.stored
    return "string" if found is None else found.simpleString()


def _type_text(file_type: FileType) -> str:
    """Return the name of a type for an error message: Spark's name, or Arrow's name if Spark has no such type.

    For nanosecond timestamps, and for types that only the workers read, both names are included.
    """
    text = file_type.arrow_type if file_type.spark is None else file_type.spark.simpleString()
    return f"{text} ({file_type.arrow_type})" if file_type.is_nanos or file_type.needs_worker else text
