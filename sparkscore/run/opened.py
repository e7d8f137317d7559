"""A checked request together with its opened input. Runs on the driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from sparkscore.plan import Plan
from sparkscore.run.prepare import PreparedRun
from sparkscore.scorers.dtypes import Dtypes
from sparkscore.signature.model_signature import Feed
from sparkscore.sources import PlannedRows
from sparkscore.worker.host import HostCheck


@dataclass(frozen=True)
class InputRows:
    """The rows of an input whose items are rows.

    Attributes:
        columns: the columns of the rows.
        frame: function that returns the rows as a DataFrame. To create it, Spark may have to inspect the files.
        planned: the rows that the workers read themselves, or None if Spark reads them.
    """

    columns: StructType
    frame: Callable[[], DataFrame | None]
    planned: PlannedRows | None = None


@dataclass(frozen=True)
class Request:
    """A checked request together with its opened input.

    Attributes:
        spark: the session.
        prepared: the checked request.
        plan: the plan of the run.
        rows: the input rows, or None if the items are files.
        feeds: the model's inputs, each with its columns, or None if there is a script or no signature.
        dtypes: the rule by which workers choose the dtypes of the pandas DataFrames that the scorer gets.
        host: the conditions that each worker process must meet, checked in its first task. None if the workers are on
            this host.
    """

    spark: SparkSession
    prepared: PreparedRun
    plan: Plan
    rows: InputRows | None
    feeds: tuple[Feed, ...] | None
    dtypes: Dtypes = field(default_factory=Dtypes)
    host: HostCheck | None = None

    @property
    def planned(self) -> PlannedRows | None:
        """The rows that the workers read themselves, or None if Spark reads them or the items are files."""
        return None if self.rows is None else self.rows.planned

    @property
    def columns(self) -> StructType | None:
        """The input's schema, or None if the items are files."""
        return None if self.rows is None else self.rows.columns
