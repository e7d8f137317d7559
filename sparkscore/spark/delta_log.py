"""Read the protocol and the columns of a Delta table's version from its log. Runs on the driver.

No SQL statement returns the properties of columns, and Spark describes only the newest version of a table. Source:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md, 'Delta Log Entries', 'Checkpoints' and 'Change Metadata'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sparkscore.object_store import ObjectFolder

#: The action that sets the protocol of a table.
PROTOCOL: Final = "protocol"
#: The action that sets the columns and the properties of a table.
METADATA: Final = "metaData"
#: What `find_actions` and a reader of its answer raise if the log is damaged or not complete.
LOG_ERRORS: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, pa.ArrowException)

_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(
    r"(\d{20})\.checkpoint\.(?:(\d{10})\.(\d{10})\.parquet|(?:[0-9a-f-]{36}\.)?(?:json|parquet))"
)
# Any character of an action's name may be written as an escape.
_ESCAPE: Final = rb"\u"


@dataclass(frozen=True)
class FolderOnDisk:
    """A ``_delta_log`` folder that is not in a store."""

    path: Path

    def names(self) -> list[str]:
        """Return the names of the files."""
        return [file.name for file in self.path.iterdir()]

    def open(self, name: str) -> BinaryIO:
        """Open a file."""
        return (self.path / name).open("rb")


LogFolder = FolderOnDisk | ObjectFolder


def read_columns(log: Path) -> list[dict[str, Any]]:
    """Return the columns of a Delta table's newest version, with their properties, as in the log.

    Args:
        log: the table's ``_delta_log`` folder.

    Returns:
        the columns, or an empty list if they cannot be read, for example because part of the log is stored in a
        catalog.
    """
    try:
        return list(columns_in(find_actions(FolderOnDisk(log), None, {METADATA})[METADATA]))
    except LOG_ERRORS:
        return []


def columns_in(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the columns, with their properties, of the action that sets them."""
    return list(json.loads(metadata["schemaString"])["fields"])


def find_actions(log: LogFolder, version: int | None, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the newest action of each kind up to a version, from the version's commit back to a checkpoint.

    Args:
        log: the table's ``_delta_log`` folder.
        version: the version, or None for the newest version.
        wanted: the names of the actions. The result lacks those that the log does not have.

    Raises:
        ValueError: a commit is missing, for example because part of the log is stored in a catalog.
        OSError: a file cannot be read. Damaged files raise any of `LOG_ERRORS`.
    """
    files = sorted(log.names())
    commits = {int(match[1]) for match in map(_COMMIT.fullmatch, files) if match}
    checkpoints = _checkpoints(files)
    found: dict[str, Mapping[str, Any]] = {}
    newest = max(commits | checkpoints.keys()) if version is None else version
    for number in range(newest, -1, -1):
        if number in commits:
            found = _in_file(log, f"{number:020}.json", wanted) | found
        elif number not in checkpoints:
            raise ValueError(f"commit {number} is missing")
        if len(found) < len(wanted):
            for name in checkpoints.get(number, ()):
                found = _in_file(log, name, wanted) | found
        if len(found) == len(wanted) or number in checkpoints:
            break
    return found


def _checkpoints(files: list[str]) -> dict[int, list[str]]:
    """Return the files of each complete checkpoint, by version."""
    found: dict[int, list[str]] = {}
    parts: dict[tuple[int, str], list[str]] = {}
    for match in filter(None, map(_CHECKPOINT.fullmatch, files)):
        if match[3]:
            parts.setdefault((int(match[1]), match[3]), []).append(match[0])
        else:
            # If a version has several checkpoints, each of them is complete.
            found[int(match[1])] = [match[0]]
    whole = {version: each for (version, count), each in parts.items() if len(each) == int(count)}
    return whole | found


def _in_file(log: LogFolder, name: str, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    with closing(log.open(name)) as file:
        return _in_json(file, wanted) if name.endswith(".json") else _in_parquet(file, wanted)


def _in_json(lines: BinaryIO, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the last action of each kind in a file with one JSON object per line."""
    texts = [name.encode() for name in wanted]
    found: dict[str, Mapping[str, Any]] = {}
    for line in lines:
        # A commit may add thousands of files. Their lines are not parsed.
        if _ESCAPE in line or any(text in line for text in texts):
            found |= {key: value for key, value in json.loads(line).items() if key in wanted and value is not None}
    return found


def _in_parquet(file: BinaryIO, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    table = pq.read_table(file, columns=list(wanted), partitioning=None, page_checksum_verification=True)
    actions = {name: table[name].filter(pc.is_valid(table[name])).to_pylist() for name in table.column_names}
    return {name: each[-1] for name, each in actions.items() if each}
