"""Keep a copy of a function's model for the workers on this machine, as long as this process runs.

Runs on the driver.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pyspark.sql import SparkSession

from sparkscore.removal import move_new
from sparkscore.run.delivery import ByArtifact, Delivery
from sparkscore.scorers.model_files import ModelFiles, copy_model
from sparkscore.spark.sent_folder import sent_folder
from sparkscore.spark.shipping import has_other_hosts


class BySentFolder:
    """Delivers files to workers on the driver's machine, by copying them to this process's folder for sent files.

    A query may come long after the registration, when the model's own files have been changed or removed.
    """

    def deliver(self, path: Path, files: ModelFiles) -> ModelFiles:
        """Copy a file or a folder, and return `files` with the path of the copy as ``source``."""
        copy = sent_folder() / f"function-{files.sha256}"
        if not copy.exists():
            unfinished = copy.with_name(f"{copy.name}.unfinished")
            copy_model(path, unfinished)
            move_new(unfinished, copy)
        return replace(files, source=str(copy.absolute()), file_name=path.name)


def delivery_of(spark: SparkSession) -> Delivery:
    """Return a `BySentFolder` if all workers of the session are on the driver's host, and a `ByArtifact` otherwise."""
    return ByArtifact(spark) if has_other_hosts(spark) else BySentFolder()
