"""Find parts of a Parquet input that only the workers can read, and refuse them if Spark must read the input.

Runs on the driver.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SourceSchemaError
from sparkscore.plan import InputFile
from sparkscore.sources.footers import Footer

_BROTLI: Final = "BROTLI"


@dataclass(frozen=True)
class WorkerOnly:
    """A part of an input that the workers can read but Spark cannot.

    Attributes:
        file: path of the file.
        column: name of the column, or None if the whole file is packed with Brotli.
        arrow_type: Arrow's name of the column's type.
        fix: advice on how to write the column with a type that Spark reads.
    """

    file: str
    column: str | None = None
    arrow_type: str = ""
    fix: str = ""

    def refused(self, reason: str, *, is_chosen: bool = False) -> SourceSchemaError:
        """Return the error to raise if Spark must read the input.

        Args:
            reason: why Spark must read it.
            is_chosen: whether only the setting ``input.reader`` keeps the workers from reading it.
        """
        reader = "Set 'input.reader: worker', or leave it out. " if is_chosen else ""
        if self.column is None:
            return refused_codec(self.file, _BROTLI, f", which Spark reads ({reason})", reader)
        return SourceSchemaError(
            code=ErrorCode.INPUT_TYPES,
            what=f"column '{self.column}' of the Parquet file '{self.file}'",
            got=f"type {self.arrow_type}, which only the workers can read",
            expected=f"a type that Spark reads with its meaning, because Spark must read this input: {reason}",
            next_step=f"{reader}Correct the files: {self.fix}. Or leave the column out with 'input.columns'.",
        )


def find_worker_only(
    files: Sequence[InputFile], footers: Sequence[Footer | None], columns: Collection[str]
) -> WorkerOnly | None:
    """Return the first part of the files that only the workers can read, or None if Spark can read all files.

    Args:
        files: the files.
        footers: the footer of each file, or None for a footer that cannot be read. Equal footers are the same object.
        columns: the columns that the run uses.
    """
    firsts: dict[int, tuple[InputFile, Footer]] = {}
    for file, footer in zip(files, footers, strict=True):
        if footer is not None and not footer.is_empty:
            firsts.setdefault(id(footer), (file, footer))
    for file, footer in firsts.values():
        if _BROTLI in footer.codecs:
            return WorkerOnly(file.path)
        for name, found in footer.columns.items():
            if found.needs_worker and name in columns:
                return WorkerOnly(file.path, name, found.arrow_type, found.fix)
    return None


def refused_codec(file: str, codec: str, why: str = ", which Spark reads", reader: str = "") -> SourceSchemaError:
    """Return the error for a file that is packed with a codec that its reader does not include.

    Args:
        file: path of the file.
        codec: name of the codec.
        why: text that follows the list of expected codecs.
        reader: a sentence that says how to choose another reader, followed by a space, or an empty string.
    """
    return SourceSchemaError(
        code=ErrorCode.INPUT_CODEC,
        what=f"Parquet file '{file}'",
        got=f"values packed with {codec}",
        expected=f"snappy, zstd, gzip, lz4 or no compression{why}",
        next_step=f"{reader}Write the file with one of them, in pandas with compression='zstd'.",
    )
