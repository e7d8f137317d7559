"""Check file paths and column names for cases in which Spark would silently read the wrong data. Runs on the driver."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceError, SourceSchemaError, names
from sparkscore.location import folder_text, spark_path
from sparkscore.minibatch import HIDDEN_COLUMNS
from sparkscore.plan import InputFile
from sparkscore.signature.same_name import doubled_names, folded


def partition_keys(files: Iterable[InputFile], folder: Path | None) -> tuple[str, ...]:
    """Return the names of the partition columns, which are the keys of ``key=value`` folders, outermost folder first.

    Args:
        files: the files.
        folder: the location of the input, inside which folders are searched for keys. None if the input is not a single
            folder: there are no partition columns then.

    Raises:
        SourceSchemaError: two files have different partition columns, or have them in a different order; or two
            partition columns of a path have names that are equal or differ only in case.
    """
    if folder is None:
        return ()
    examples: dict[tuple[str, ...], str] = {}
    for above, path in _first_files(files).items():
        parts = above.relative_to(folder).parts
        examples.setdefault(tuple(unquote(part.partition("=")[0]) for part in parts if "=" in part), path)
    if len(examples) > 1:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_PARTITIONS,
            what=f"files of '{folder_text(folder)}' lie in folders of different partition columns, for example"
            f" {names(list(examples.values())[:2])}",
            expected="the same 'key=value' folders above all files",
            next_step="Score the parts one by one, or select the files with a glob: the folders are then no columns.",
        )
    keys = next(iter(examples), ())
    if len({folded(key) for key in keys}) < len(keys):
        raise SourceSchemaError(
            code=ErrorCode.INPUT_PARTITIONS,
            what=f"nested folders of '{folder_text(folder)}' have the same key",
            got=names(keys),
            expected="keys that differ in more than case",
            next_step="Rename the folders, or select the files with a glob: the folders are then no columns.",
        )
    return keys


def refuse_delta_table(files: Iterable[InputFile]) -> None:
    """Raise an error if a file is inside the folder of a Delta table.

    The folder may contain files with rows that are no longer in the table. Only the table's log shows which files are
    current.

    Raises:
        SourceError: a folder above one of the files has a ``_delta_log`` subfolder.
    """
    above = _first_files(files)
    folders = {*above, *(parent for folder in above for parent in folder.parents)}
    tables = sorted(folder for folder in folders if (folder / "_delta_log").is_dir())
    if tables:
        raise SourceError(
            code=ErrorCode.INPUT_IS_DELTA,
            what=f"'{tables[0]}' is a Delta table, whose folder also holds files that are out of date",
            next_step=f"Read it as a Delta table: --input '{tables[0]}' --input-format delta.",
        )


def _first_files(files: Iterable[InputFile]) -> dict[Path, str]:
    """Return the folders that contain the files, each with the path of its first file."""
    # A Path for each of 100,000 files would take seconds.
    first: dict[str, str] = {}
    for file in files:
        first.setdefault(os.path.dirname(file.path), file.path)  # noqa: PTH120
    return {Path(folder): path for folder, path in first.items()}


def refuse_patterns_in_names(files: Iterable[InputFile]) -> None:
    """Raise an error if a file path contains a glob character, such as ``*`` or ``[``.

    This function is called before Spark infers the schema of ``multiLine`` files. For this inference, Spark 4.2
    ignores the backslashes that escape glob characters, so it would read different files or none at all.

    Raises:
        SourceError: a path contains a glob character. The message contains the first such path.
    """
    patterns = [file.path for file in files if spark_path(file.path) != file.path]
    if patterns:
        raise SourceError(
            code=ErrorCode.INPUT_NAME,
            what=f"input file '{patterns[0]}'",
            got="one of [ ] { } * ? \\ in its path, which Spark takes for a pattern when it infers types",
            next_step="Declare 'input.schema', or set 'input.options.multiLine: false' if no value has a line end.",
        )


def check_column_names(found: Iterable[str], what: str) -> None:
    """Check that all column names differ in more than case, and that none is the name of a hidden column.

    Spark ignores the case of column names. `HIDDEN_COLUMNS` lists the hidden columns, which sparkscore adds to the
    rows.

    Args:
        found: the names of the columns.
        what: the format of the input, for the error message.

    Raises:
        SourceSchemaError: some names are not allowed. The message lists up to five of them.
    """
    columns = list(found)
    doubled = doubled_names(columns)
    wrong = {*doubled, *(name for name in columns if name.lower() in HIDDEN_COLUMNS)}
    if wrong:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMN_NAMES,
            what=f"the {what} input has a column name that cannot be told from another",
            got=names(wrong),
            expected="names that differ in more than case",
            next_step="Rename the columns in the input.",
        )


def check_against_files(keys: Iterable[str], declared: Iterable[str] | None, found: Sequence[str], what: str) -> None:
    """Check that no partition column also exists in the files, and that every declared column exists.

    Partition columns are compared with the files' columns ignoring case. The names of declared columns are
    case-sensitive.

    Args:
        keys: the names of the partition columns.
        declared: the names of the columns in 'input.schema', or None to check only the partition columns.
        found: the names of the columns in the files.
        what: the format of the input, for the error message.

    Raises:
        SourceSchemaError: a partition column also exists in the files, where Spark would ignore it; or a declared
            column does not exist, so that Spark would fill it with NULL.
    """
    present = set(found)
    by_folded = {folded(key): key for key in keys}
    if doubled := [name for name in found if folded(name) in by_folded]:
        raise SourceSchemaError(
            code=ErrorCode.INPUT_PARTITIONS,
            what=f"{names(doubled)} is a column of the files and the key of their folders",
            got=f"folders named {names(f'{by_folded[folded(name)]}=…' for name in doubled)}",
            expected="each name only once; upper and lower case are the same",
            next_step="Select the files with a glob (the folders are then no columns), or rename one of the two.",
        )
    if missing := set(declared or ()) - present - set(keys):
        raise SourceSchemaError(
            code=ErrorCode.INPUT_COLUMNS,
            what=f"'input.schema' declares {names(missing)}, which the {what} input does not have",
            got=names(present),
            next_step="Correct 'input.schema'; column names are case-sensitive.",
        )
