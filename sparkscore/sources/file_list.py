"""Use the files of an input as the items of a run, so that ``run()`` gets their paths. Runs on the driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.config import Input
from sparkscore.plan import Snapshot, digest_of_files
from sparkscore.sources.listing import Listing, list_files
from sparkscore.sources.planned_rows import PlannedRows
from sparkscore.sources.samples import check_files_unchanged, with_samples


class FileListSource:
    """A source whose items are files.

    The files are listed once, and empty files are included. Spark does not read their contents.
    """

    def __init__(
        self, spark: SparkSession, config: Input, listing: Listing | None = None, location: str | None = None
    ) -> None:
        """List the files of the input, or use the given listing.

        Args:
            spark: not used, since Spark does not read the files.
            config: the deployment's 'input' section.
            listing: the files, or None to list the files at the location in `config`.
            location: the location shown in the run record, or None for the location in `config`.
        """
        del spark
        listing = listing or list_files(config.location)
        files = with_samples(listing.files)
        named = config.location[0] if len(config.location) == 1 else list(config.location)
        self._snapshot = Snapshot(
            format="files",
            location=location or named,
            version=digest_of_files(files),
            size_bytes=sum(file.size_bytes for file in files),
            items=len(files),
            files=files,
            skipped=listing.skipped,
        )

    @property
    def snapshot(self) -> Snapshot:
        """A description of the input, including the files that were listed when it was opened."""
        return self._snapshot

    def columns(self) -> StructType | None:
        """Return None, since the items are files, not rows."""
        return None

    def frame(self) -> DataFrame | None:
        """Return None, since the items are files, not rows."""
        return None

    def planned_rows(self) -> PlannedRows | str:
        """Return the reason why workers do not read the rows themselves."""
        return "run() gets the paths of files"

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:  # noqa: ARG002 - the same for every source
        """Return an empty dictionary, since the items are files, which have no columns."""
        return {}

    def check_contents(self) -> None:
        """Do nothing, since Spark does not read the contents of the files."""

    def check_unchanged(self) -> None:
        """Check that no file has changed since it was listed.

        Raises:
            SourceError: a file has changed or no longer exists.
        """
        check_files_unchanged(self._snapshot.files)
