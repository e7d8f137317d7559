"""The source whose items are files: `run()` gets their paths (driver)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyspark.sql import DataFrame, SparkSession

from sparkscore.config import Input
from sparkscore.plan import Snapshot, digest_of_files
from sparkscore.sources.listing import Listing, list_files
from sparkscore.sources.samples import check_files_unchanged, with_samples


class FileListSource:
    """Files, listed once. Only the scoring script reads their contents; an empty file is an item as well."""

    def __init__(
        self, spark: SparkSession, config: Input, listing: Listing | None = None, location: str | None = None
    ) -> None:
        """List the files.

        Args:
            spark: not used, since Spark does not read the files.
            config: the deployment's input.
            listing: the files, if they are listed already.
            location: the location from which that listing was made, for the run record.
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
        """The description of the input as it was when it was opened."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Return None, since the items are files."""
        return None

    def count_nulls(self, columns: Collection[str]) -> Mapping[str, int]:  # noqa: ARG002 - the same for every source
        """Return an empty dictionary, since there are no columns."""
        return {}

    def check_contents(self) -> None:
        """Do nothing: the scoring script reads the contents."""

    def check_unchanged(self) -> None:
        """Compare the files with the listing."""
        check_files_unchanged(self._snapshot.files)
