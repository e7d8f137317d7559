"""Get the values of partition columns for the path of a file. Runs on the driver and the workers.

They are in the names of ``key=value`` folders or, for a Delta table, in its log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa

#: The value that Hive and Spark use for NULL in folder names.
NULL_KEY: Final = "__HIVE_DEFAULT_PARTITION__"


def keys_in(path: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Return the value of each partition column in a path, and the name of the ``key=value`` folder that sets it.

    Args:
        path: the path of a folder with files of the input.
        folder: the folder that contains the partition folders.
    """
    pairs = ((part.partition("="), part) for part in path.relative_to(folder).parts)
    return {unquote(name): (unquote(value), part) for (name, equals, value), part in pairs if equals}


@dataclass(frozen=True)
class KeyValues:
    """The values of a partition column that is not a string.

    Attributes:
        name: the name of the column.
        texts: the distinct texts in the folder names, with None for NULL.
        values: the value that each text stands for.
    """

    name: str
    texts: tuple[str | None, ...]
    values: pa.Array


@dataclass(frozen=True)
class FolderKeys:
    """The partition columns of an input. Their values are in the names of the folders that contain the files.

    Attributes:
        folder: the folder that contains the partition folders.
        names: the names of the partition columns.
        typed: the values of those partition columns that are not strings.
    """

    folder: str
    names: tuple[str, ...]
    typed: tuple[KeyValues, ...] = ()

    def values_of(self, path: str) -> dict[str, pa.Scalar]:
        """Return the value of each partition column for a file.

        Args:
            path: path of the file.
        """
        parts = keys_in(Path(path).parent, Path(self.folder))
        texts = {name: None if (text := parts[name][0]) == NULL_KEY else text for name in self.names}
        found = {name: pa.scalar(text, pa.string()) for name, text in texts.items()}
        return found | {each.name: each.values[each.texts.index(texts[each.name])] for each in self.typed}


@dataclass(frozen=True)
class FileKeys:
    """The partition columns of a Delta table, whose values are in its log.

    Attributes:
        values: the values. Files in one folder mostly have the same values, and then share a row.
        rows: the number of the row, by the path of a folder or, in folders whose files differ, of a file.
    """

    values: pa.RecordBatch
    rows: Mapping[str, int]

    @classmethod
    def of(cls, paths: Sequence[str], values: pa.RecordBatch) -> FileKeys:
        """Return the partition columns of some files. Runs on the driver.

        Args:
            paths: the paths of the files.
            values: the values for each of the files, in the same order.
        """
        folders: dict[str, list[int]] = {}
        for number, path in enumerate(paths):
            folders.setdefault(_folder_of(path), []).append(number)
        kept: list[int] = []
        rows: dict[str, int] = {}
        for folder, numbers in folders.items():
            if all(_is_same_row(values, numbers[0], number) for number in numbers[1:]):
                rows[folder] = len(kept)
                kept.append(numbers[0])
            else:
                rows |= {paths[number]: len(kept) + position for position, number in enumerate(numbers)}
                kept += numbers
        return cls(values.take(pa.array(kept, pa.int64())), rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the partition columns."""
        return tuple(self.values.schema.names)

    def values_of(self, path: str) -> dict[str, pa.Scalar]:
        """Return the value of each partition column for a file.

        Args:
            path: path of the file.
        """
        row = self.rows[path if path in self.rows else _folder_of(path)]
        return {name: self.values.column(index)[row] for index, name in enumerate(self.names)}


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _is_same_row(values: pa.RecordBatch, one: int, other: int) -> bool:
    return all(_is_same(column[one], column[other]) for column in values.columns)


def _is_same(one: pa.Scalar, other: pa.Scalar) -> bool:
    # To Arrow, 0.0 equals -0.0.
    return repr(one.as_py()) == repr(other.as_py()) if pa.types.is_floating(one.type) else bool(one.equals(other))
