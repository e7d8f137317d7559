"""Detect the format of an input if the deployment does not name one. Runs on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sparkscore.config import Input
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.location import is_remote, local_path
from sparkscore.sources.listing import list_files

# The ends of file names are compared, so that 'a.csv.gz' counts as CSV.
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


# Azure ML deployments without a script read these formats as tables. They also read images.
# Source: https://learn.microsoft.com/azure/machine-learning/how-to-mlflow-batch#files-types-support
_TABLES_OF_AZURE: Final = frozenset({"csv", "parquet"})


def detect_format(config: Input, *, is_files_by_default: bool, is_no_code: bool = False) -> str:
    """Return the format of an input, for example ``csv``.

    The result is the first of these that applies:

    - The format that the deployment names.
    - ``delta``, if the only location is a folder that contains ``_delta_log``.
    - ``files``, if `is_files_by_default` is true.
    - The format that the file extensions stand for, if they all stand for the same one.
    - ``files``.

    Args:
        config: the deployment's 'input' section.
        is_files_by_default: whether the items are files if the deployment does not name a format.
        is_no_code: whether the deployment is written for Azure ML and has no scoring script. If so, and if the file
            extensions determine the format, all files must have the same one: ``csv``, ``parquet`` or ``files``.

    Raises:
        SourceNotFoundError: a location does not exist, and no file matches it as a glob.
        SourceError: the files of a location cannot be listed; see `list_files`.
        ConfigError: `is_no_code` is true, and the files have several formats or one that Azure ML does not read; or a
            location is remote, and no format is named.
    """
    if config.format:
        return config.format
    if len(config.location) == 1 and is_delta_table(config.location[0]):
        return "delta"
    if is_files_by_default:
        return "files"
    if any(map(is_remote, config.location)):
        raise _not_named(config.location)
    examples = {_format_of(file.path): file.path for file in list_files(config.location).files}
    if is_no_code and (len(examples) > 1 or not examples.keys() <= {*_TABLES_OF_AZURE, "files"}):
        raise _not_azures(examples)
    return next(iter(examples)) if len(examples) == 1 else "files"


def _not_named(locations: Sequence[str]) -> ConfigError:
    """Return the error for an input in a store whose format the deployment does not name."""
    return ConfigError(
        code=ErrorCode.LOCATION_REMOTE,
        what=f"input '{next(filter(is_remote, locations))}'",
        got="a store, and no format",
        expected="the format of an input that is not local",
        next_step="Set its format: --input-format parquet, or delta. Other formats are not read from stores: mount "
        "the store and name the mounted folder.",
    )


def _not_azures(examples: dict[str, str]) -> ConfigError:
    """Return the error for files that an Azure ML deployment without a scoring script cannot read.

    Args:
        examples: the path of one file for each format.
    """
    other = next((name for name in examples if name not in _TABLES_OF_AZURE), next(iter(examples)))
    is_known = other != "files"
    return ConfigError(
        code=ErrorCode.INPUT_ENDINGS,
        what="the input of a deployment with Azure's $schema and without a scoring script",
        got=" and ".join(f"'{Path(path).name}'" for path in sorted(examples.values())),
        expected="files of one format: .csv, .parquet or .pqt, or images; the extension decides, as in Azure ML",
        next_step="Select the files with a glob, such as --input 'FOLDER/*.csv'"
        + (f", or set their format: --input-format {other}." if is_known and len(examples) == 1 else "."),
    )


def is_delta_table(location: str) -> bool:
    """Return whether a location is a local folder with a Delta log."""
    return not is_remote(location) and (local_path(location) / "_delta_log").is_dir()


def _format_of(path: str) -> str:
    return next((name for ending, name in _FORMAT_OF_ENDING.items() if path.lower().endswith(ending)), "files")
