"""Decide how an input is read when the deployment does not say (driver)."""

from __future__ import annotations

from sparkscore.config import Input
from sparkscore.location import is_remote, local_path
from sparkscore.sources.listing import list_files

# Whole file names are compared, so that a compressed CSV file is a CSV file.
_FORMAT_OF_ENDING = {
    ".parquet": "parquet",
    ".pqt": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".json.gz": "json",
    ".jsonl.gz": "json",
}


def detect_format(config: Input, *, is_files_by_default: bool) -> str:
    """Give the input's format: as it is told; ``files`` where that is the default; as the files look otherwise.

    A folder with a ``_delta_log`` is a Delta table; files that all end alike are what that ending says.

    Raises:
        SourceNotFoundError: a location names nothing.
    """
    if config.format:
        return config.format
    if len(config.location) == 1 and _is_delta_table(config.location[0]):
        return "delta"
    if is_files_by_default:
        return "files"
    formats = {_format_of(file.path) for file in list_files(config.location).files}
    return formats.pop() if len(formats) == 1 else "files"


def _is_delta_table(location: str) -> bool:
    return not is_remote(location) and (local_path(location) / "_delta_log").is_dir()


def _format_of(path: str) -> str:
    return next((name for ending, name in _FORMAT_OF_ENDING.items() if path.lower().endswith(ending)), "files")
