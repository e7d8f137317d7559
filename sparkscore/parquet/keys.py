"""Get the values of partition columns from the names of ``key=value`` folders. Runs on the driver and the workers."""

from __future__ import annotations

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
