"""Make models, packed Python environments and large pieces of code available to the workers.

Runs on the driver.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from pyspark.sql import SparkSession

from sparkscore.digest import digest_of_path
from sparkscore.models import ResolvedModel
from sparkscore.removal import temporary_folder
from sparkscore.scorers.model_files import ModelFiles, copy_model
from sparkscore.scorers.packed_folder import pack_folder
from sparkscore.spark.map_in_arrow import MOST_BYTES_SENT
from sparkscore.spark.shipping import has_other_hosts, ship_file
from sparkscore.stage import RunStage

#: What a packed Python environment is called in error messages.
ENVIRONMENT: Final = "environment"
_FILE: Final = "sparkscore-{}.file"
_FOLDER: Final = "sparkscore-{}.tar"


class Delivery(Protocol):
    """Sends files from the driver to the workers."""

    def deliver(self, path: Path, files: ModelFiles) -> ModelFiles:
        """Make a file or a folder available to the workers, and return `files` with ``source`` set accordingly.

        Args:
            path: path of the file or folder on the driver.
            files: name, digest and kind of the file or folder. The attribute ``source`` is ignored.

        Raises:
            ScoringError: the files cannot be sent.
            OSError: the files cannot be read, or cannot be copied into the stage.
        """


class ByStage:
    """Delivers files to workers on the driver's machine, by copying the files into the run's stage."""

    def __init__(self, stage: RunStage) -> None:
        self._stage = stage

    def deliver(self, path: Path, files: ModelFiles) -> ModelFiles:
        """Copy a file or a folder into the stage, and return `files` with the path of the copy as ``source``."""
        is_environment = files.kind == ENVIRONMENT
        copy = self._stage.keep_archive(path) if is_environment else self._stage.keep_model(path, files.sha256)
        return replace(files, source=str(copy.absolute()))


class ByArtifact:
    """Sends files to workers on other hosts as artifacts of the Spark session. A folder is sent as one archive."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def deliver(self, path: Path, files: ModelFiles) -> ModelFiles:
        """Send a file or folder to the workers, unless the session already has it.

        The ``source`` of the returned files is the artifact's name, which contains their digest.
        """
        is_folder = path.is_dir()
        name = (_FOLDER if is_folder else _FILE).format(files.sha256)
        write = partial(pack_folder if is_folder else copy_model, path)
        ship_file(self._spark, name, f"{files.kind} '{files.name}'", write)
        return replace(files, source=name, file_name=path.name, is_packed=is_folder)


def delivery_for(spark: SparkSession, stage: RunStage) -> Delivery:
    """Return a `ByStage` if all workers of the session are on the driver's host, and a `ByArtifact` otherwise."""
    return ByArtifact(spark) if has_other_hosts(spark) else ByStage(stage)


def files_of(model: ResolvedModel) -> ModelFiles:
    """Return the description of a model's files, with their path on the driver as ``source``."""
    return ModelFiles(model.name, model.version, str(model.path), model.sha256)


def deliver_model(delivery: Delivery, model: ResolvedModel) -> ModelFiles:
    """Make a model available to the workers. Raises the same errors as `Delivery.deliver`."""
    return delivery.deliver(model.path, files_of(model))


def deliver_environment(delivery: Delivery, archive: Path) -> ModelFiles:
    """Make a packed Python environment available to the workers. Raises the same errors as `Delivery.deliver`."""
    return delivery.deliver(archive, ModelFiles(archive.stem, "", "", digest_of_path(archive), kind=ENVIRONMENT))


def deliver_content(delivery: Delivery, content: bytes, name: str, kind: str) -> ModelFiles | None:
    """Write bytes to a file, and make the file available to the workers.

    If there are so few bytes that they can be sent with the Spark job, do nothing and return None.

    Args:
        delivery: how to send files to the workers.
        content: the bytes.
        name: name of the content, for error messages.
        kind: what the content is, for error messages.

    Raises:
        ScoringError: the file cannot be sent.
        OSError: the file cannot be written.
    """
    if len(content) <= MOST_BYTES_SENT:
        return None
    sha256 = hashlib.sha256(content).hexdigest()
    with temporary_folder("sparkscore-content-") as folder:
        file = folder / "content"
        file.write_bytes(content)
        return delivery.deliver(file, ModelFiles(name, "", "", sha256, kind=kind))
