"""The source whose items are the rows of Parquet, CSV or JSON files that Spark reads (driver)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from sparkscore.config import Input
from sparkscore.errors import SourceError
from sparkscore.location import spark_path
from sparkscore.plan import InputFile, Snapshot, digest_of_files
from sparkscore.sources.listing import EMPTY, HIDDEN, check_files_unchanged, is_hidden, list_files
from sparkscore.sources.rows import select_columns, with_source_file
from sparkscore.spark_errors import SPARK_ERRORS, explain_read_error

# FAILFAST: Spark's default turns what it cannot parse into NULLs, and a lost value is worse than a stopped run.
_DEFAULT_OPTIONS: dict[str, dict[str, str]] = {
    "parquet": {},
    "csv": {"header": "true", "inferSchema": "true", "mode": "FAILFAST"},
    "json": {"mode": "FAILFAST"},
}
_INFERENCE = "spark.sql.sources.partitionColumnTypeInference.enabled"
# A corrupt or missing file must never be passed over, whatever the session says.
_PINNED_OPTIONS = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}


class SparkFilesSource:
    """Rows of files. The file list is made here and handed to Spark, so files that come later do not get in."""

    def __init__(self, spark: SparkSession, config: Input) -> None:
        self._format = str(config.format)
        listing = list_files(config.location)
        readable, skipped = _readable(listing.files, listing.skipped)
        self._files = readable
        self._frame = self._read(spark, config, listing.folder) if readable else None
        self._snapshot = Snapshot(
            format=self._format,
            location=config.location[0] if len(config.location) == 1 else list(config.location),
            version=digest_of_files(readable),
            size_bytes=sum(file.size_bytes for file in readable),
            items=self._count(),
            files=readable,
            skipped=skipped,
        )

    @property
    def snapshot(self) -> Snapshot:
        """What was pinned."""
        return self._snapshot

    def frame(self) -> DataFrame | None:
        """Give the rows, each with its file."""
        return self._frame

    def check_unchanged(self) -> None:
        """Compare sizes and times of change with the listing."""
        check_files_unchanged(self._files)

    def _read(self, spark: SparkSession, config: Input, folder: Path | None) -> DataFrame:
        options = _DEFAULT_OPTIONS[self._format] | config.options | _PINNED_OPTIONS
        if config.schema_ddl:
            options.pop("inferSchema", None)
        if folder is not None:
            options["basePath"] = str(folder)
        reader = spark.read.format(self._format).options(**options)
        if config.schema_ddl:
            reader = reader.schema(config.schema_ddl)
        try:
            with _partition_values_as_text(spark):
                frame = reader.load([spark_path(file.path) for file in self._files])
            return select_columns(with_source_file(frame), config.columns, self._format)
        except SPARK_ERRORS as error:
            raise explain_read_error(error, self._format) from error

    def _count(self) -> int | None:
        """Count the rows where the files' footers tell them."""
        if self._frame is None:
            return 0
        if self._format != "parquet":
            return None
        try:
            return self._frame.count()
        except SPARK_ERRORS as error:
            raise explain_read_error(error, self._format) from error


@contextmanager
def _partition_values_as_text(spark: SparkSession) -> Iterator[None]:
    """Keep Spark from guessing types of values in folders' names: it takes '01', '1' and '1.0' for one number."""
    before = spark.conf.get(_INFERENCE, None)
    spark.conf.set(_INFERENCE, "false")
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(_INFERENCE)
        else:
            spark.conf.set(_INFERENCE, before)


def _readable(files: tuple[InputFile, ...], skipped: dict[str, int]) -> tuple[tuple[InputFile, ...], dict[str, int]]:
    """Set aside what Spark would pass over without a word, and refuse what it cannot open."""
    hidden = {file.path for file in files if is_hidden(Path(file.path).name)}
    empty = {file.path for file in files if not file.size_bytes} - hidden
    left = tuple(file for file in files if file.path not in hidden | empty)
    unreadable = [file.path for file in left if ":" in Path(file.path).name]
    if unreadable:
        raise SourceError(
            code="INPUT_NAME",
            what=f"input file '{unreadable[0]}'",
            got="a ':' in its name, with which Hadoop's file system cannot open it",
            next_step="Rename the file, or read the input with --input-format files.",
        )
    counts = dict(skipped)
    for reason, paths in ((HIDDEN, hidden), (EMPTY, empty)):
        if paths:
            counts[reason] = counts.get(reason, 0) + len(paths)
    return left, counts
