"""Read the protocol and the columns of a Delta table's version from its log. Runs on the driver.

No SQL statement returns the properties of columns, and Spark describes only the newest version of a table. Source:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md, 'Delta Log Entries', 'Checkpoints' and 'Change Metadata'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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


def read_columns(log: Path) -> list[dict[str, Any]]:
    """Return the columns of a Delta table's newest version, with their properties, as in the log.

    Args:
        log: the table's ``_delta_log`` folder.

    Returns:
        the columns, or an empty list if they cannot be read, for example because part of the log is stored in a
        catalog.
    """
    try:
        return list(columns_in(find_actions(log, None, {METADATA})[METADATA]))
    except LOG_ERRORS:
        return []


def columns_in(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the columns, with their properties, of the action that sets them."""
    return list(json.loads(metadata["schemaString"])["fields"])


def find_actions(log: Path, version: int | None, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the newest action of each kind up to a version, from the version's commit back to a checkpoint.

    Args:
        log: the table's ``_delta_log`` folder.
        version: the version, or None for the newest version.
        wanted: the names of the actions. The result lacks those that the log does not have.

    Raises:
        ValueError: a commit is missing, for example because part of the log is stored in a catalog.
        OSError: a file cannot be read. Damaged files raise any of `LOG_ERRORS`.
    """
    files = sorted(path.name for path in log.iterdir())
    commits = {int(match[1]) for match in map(_COMMIT.fullmatch, files) if match}
    checkpoints = _checkpoints(files)
    found: dict[str, Mapping[str, Any]] = {}
    newest = max(commits | checkpoints.keys()) if version is None else version
    for number in range(newest, -1, -1):
        if number in commits:
            found = _in_json(log / f"{number:020}.json", wanted) | found
        elif number not in checkpoints:
            raise ValueError(f"commit {number} is missing")
        if len(found) < len(wanted):
            for name in checkpoints.get(number, ()):
                found = _in_checkpoint(log / name, wanted) | found
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


def _in_checkpoint(file: Path, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    return _in_json(file, wanted) if file.suffix == ".json" else _in_parquet(file, wanted)


def _in_json(file: Path, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the last action of each kind in a file with one JSON object per line."""
    texts = [name.encode() for name in wanted]
    found: dict[str, Mapping[str, Any]] = {}
    with file.open("rb") as lines:
        for line in lines:
            # A commit may add thousands of files. Their lines are not parsed.
            if _ESCAPE in line or any(text in line for text in texts):
                found |= {key: value for key, value in json.loads(line).items() if key in wanted and value is not None}
    return found


def _in_parquet(file: Path, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
    table = pq.read_table(file, columns=list(wanted), partitioning=None, page_checksum_verification=True)
    actions = {name: table[name].filter(pc.is_valid(table[name])).to_pylist() for name in table.column_names}
    return {name: each[-1] for name, each in actions.items() if each}
