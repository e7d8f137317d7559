"""Read column properties from a Delta table's log, because no SQL statement returns them. Runs on the driver."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_METADATA: Final = "metaData"
_DIGITS: Final = 20


def read_columns(log: Path) -> list[dict[str, Any]]:
    """Return the columns of a Delta table's latest version, with their properties, as stored in the log.

    Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md, 'Change Metadata' and 'Schema Serialization
    Format'.

    Args:
        log: the table's ``_delta_log`` folder.

    Returns:
        the columns, or an empty list if they cannot be read, for example because part of the log is stored in a
        catalog.
    """
    try:
        for file in sorted(_files(log), key=_newest_first):
            found = _in_commit(file) if file.suffix == ".json" else _in_checkpoint(file)
            if found is not None:
                return list(json.loads(found["schemaString"])["fields"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return []
    return []


def _files(log: Path) -> Iterator[Path]:
    for file in log.iterdir():
        parts = file.name.split(".")
        is_commit = parts[1:] == ["json"] or parts[1:2] == ["checkpoint"]
        if is_commit and parts[0].isdigit() and len(parts[0]) == _DIGITS and parts[-1] in {"json", "parquet"}:
            yield file


def _newest_first(file: Path) -> tuple[int, bool]:
    return -int(file.name[:_DIGITS]), "checkpoint" in file.name


def _in_commit(file: Path) -> Mapping[str, Any] | None:
    with file.open(encoding="utf-8") as lines:
        # Each line is a JSON object with one action, beginning with the action's name.
        found = [json.loads(line)[_METADATA] for line in lines if _METADATA in line[:_DIGITS]]
    return found[-1] if found else None


def _in_checkpoint(file: Path) -> Mapping[str, Any] | None:
    actions = pq.read_table(file, columns=[_METADATA], partitioning=None, page_checksum_verification=True)[_METADATA]
    found = actions.filter(pc.is_valid(actions)).to_pylist()
    return found[-1] if found else None
