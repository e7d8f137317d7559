"""Select the columns that a Spark ML model has added to the rows (worker)."""

from __future__ import annotations

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.specs import RowsSpec


class RowsScorer:
    """A scorer for rows that a Spark ML model has already scored in Spark. It only selects the columns of the model."""

    def __init__(self, spec: RowsSpec) -> None:
        self._spec = spec

    def load(self) -> None:
        """Do nothing, because the model runs inside Spark."""

    def score(self, mini_batch: MiniBatch) -> pa.Table:
        """Return the columns of the mini-batch that the model has added."""
        if mini_batch.rows is None:
            raise RuntimeError("a Spark ML model scores rows, not files")
        return mini_batch.rows.select(list(self._spec.columns))

    def close(self) -> None:
        """Do nothing, because the scorer holds no model and no files."""
