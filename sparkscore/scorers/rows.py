"""Select the prediction columns of rows that Spark has already scored with a ``pyspark.ml`` pipeline.

Runs on the workers.
"""

from __future__ import annotations

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.specs import RowsSpec


class RowsScorer:
    """A scorer that selects the prediction columns of rows already scored in Spark by a ``pyspark.ml`` pipeline."""

    def __init__(self, spec: RowsSpec) -> None:
        self._spec = spec

    def load(self) -> None:
        """Do nothing, because the pipeline runs inside Spark."""

    def score(self, mini_batch: MiniBatch) -> pa.Table:
        """Select the prediction columns of a mini-batch, as listed in the `RowsSpec`.

        Raises:
            KeyError: a column is missing.
            RuntimeError: the items are files.
        """
        if mini_batch.rows is None:
            raise RuntimeError("a Spark ML model scores rows, not files")
        return mini_batch.rows.select(list(self._spec.columns))

    def close(self) -> None:
        """Do nothing, because the scorer has neither a model nor files to release."""
