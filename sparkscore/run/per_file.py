"""Plan mini-batches that are one whole file each, for Azure deployments without a script. Runs on the driver.

Azure ML passes whole files to the model of such a deployment.

Source: "Batch deployments will call the predict function of the MLflow model once per file",
https://learn.microsoft.com/azure/machine-learning/how-to-mlflow-batch#how-work-is-distributed-on-workers
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sparkscore.config import Deployment
from sparkscore.config.mini_batch_size import ItemType
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names
from sparkscore.minibatch import MiniBatchLimit
from sparkscore.plan import Snapshot
from sparkscore.scorers.images import ENDINGS

_TABLES: Final = frozenset({"csv", "json", "parquet"})
_SHOWN: Final = 5


def are_files_whole(deployment: Deployment, snapshot: Snapshot) -> bool:
    """Return whether each CSV, JSON or Parquet file of the input is scored as one mini-batch.

    This is the case when all of the following hold:

    - The input consists of such files.
    - The deployment has Azure's ``$schema`` and no scoring script.
    - ``mini_batch_size`` is not a number of bytes.
    """
    size = deployment.settings.mini_batch_size
    return deployment.is_no_code and snapshot.format in _TABLES and (size is None or size.items is not None)


def counted_items(deployment: Deployment, snapshot: Snapshot) -> ItemType:
    """Return what a number in ``mini_batch_size`` counts for this input: ``files`` or ``rows``.

    It counts files if the items are files, or if each CSV, JSON or Parquet file is one mini-batch.
    """
    return "files" if are_files_whole(deployment, snapshot) else snapshot.item_type


def mini_batch_limit(deployment: Deployment, snapshot: Snapshot) -> MiniBatchLimit:
    """Return the maximum size of a mini-batch of this input, in items or in bytes.

    In deployments with Azure's ``$schema`` and no scoring script, Azure ML's rules apply, unless the size is in bytes:

    - If the items are files, a mini-batch has one item.
    - If the input consists of CSV, JSON or Parquet files, each file is one mini-batch, and there is no maximum.

    In all other cases, the maximum is the deployment's ``mini_batch_size``.
    """
    if are_files_whole(deployment, snapshot):
        return MiniBatchLimit()
    size = deployment.mini_batch_size_for(snapshot.item_type)
    if snapshot.item_type == "files" and size.items and deployment.is_no_code:
        return MiniBatchLimit(items=1)  # Azure calls the model once per file
    return MiniBatchLimit(size.items, size.size_bytes)


def refuse_count_of_files(deployment: Deployment, snapshot: Snapshot) -> None:
    """Raise an error if ``mini_batch_size`` counts files, but the input is a Delta table or failed rows.

    A number in ``mini_batch_size`` counts files if the deployment has Azure's ``$schema`` and no scoring script.

    Raises:
        ConfigError: the input is a Delta table, and ``mini_batch_size`` is an unquoted number without a unit; or the
            items are failed rows of an earlier run, and ``mini_batch_size`` is not set or has no unit.
    """
    if not deployment.is_no_code or snapshot.item_type == "files" or are_files_whole(deployment, snapshot):
        return
    size = deployment.settings.mini_batch_size
    if snapshot.format == "quarantine" and (size is None or size.items is not None):
        raise ConfigError(
            code=ErrorCode.ONLY_FAILED,
            what="the failed rows of a deployment with Azure's $schema and without a scoring script",
            got="rows, and a model that gets whole files",
            expected="the files from which the rows were read",
            next_step="Score those files again with --input; 'source_file' in the quarantine names them.",
        )
    if size is not None and size.items is not None and not size.is_text:
        raise ConfigError(
            code=ErrorCode.MINI_BATCH_SIZE,
            what=f"'mini_batch_size' for an input of format '{snapshot.format}'",
            got=f"{size.items}, which counts files in a deployment with Azure's $schema and without a scoring script",
            expected="bytes, since this input has no files of its own",
            next_step="Add --set settings.mini_batch_size=1MB, or take the line '$schema' out to count rows.",
        )


def refuse_other_endings(deployment: Deployment, snapshot: Snapshot) -> None:
    """Raise an error if an image model's input has files with extensions that Azure ML does not accept for images.

    Such a file would make the job fail in Azure ML. Only deployments with Azure's ``$schema``, without a scoring script
    and without ``input.format`` are checked.

    Raises:
        ConfigError: a file has such an extension. The message lists some of these files.
    """
    others = [Path(file.path).name for file in snapshot.files if not file.path.lower().endswith(ENDINGS)]
    if deployment.is_no_code and deployment.input.format is None and others:
        raise ConfigError(
            code=ErrorCode.INPUT_ENDINGS,
            what="the input of a model of images",
            got=names(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""),
            expected=f"files that end in {names(ENDINGS)}",
            next_step="Leave the others out with a pattern, such as --input 'FOLDER/*.png', or set 'input.format: "
            "files' to decode each file by its content.",
        )
