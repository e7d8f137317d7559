"""Select the prediction columns of rows that a ``pyspark.ml`` pipeline has already scored in Spark (worker)."""

from __future__ import annotations

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.specs import RowsSpec


class RowsScorer:
    """A scorer that selects the prediction columns of rows which a ``pyspark.ml`` pipeline has scored in Spark."""

    def __init__(self, spec: RowsSpec) -> None:
        self._spec = spec

    def load(self) -> None:
        """Do nothing, because the pipeline runs inside Spark."""

    def score(self, mini_batch: MiniBatch) -> pa.Table:
        """Select the prediction columns of a mini-batch whose rows Spark has already scored.

        The names of these columns are in the `RowsSpec`.

        Raises:
            KeyError: the rows lack one of these columns.
            RuntimeError: the items are files.
        """
        if mini_batch.rows is None:
            raise RuntimeError("a Spark ML model scores rows, not files")
        return mini_batch.rows.select(list(self._spec.columns))

    def close(self) -> None:
        """Do nothing, because the scorer holds no model and no files."""
