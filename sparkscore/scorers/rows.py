"""Select the columns that a Spark ML model added to the rows, which Spark has scored already (worker)."""

from __future__ import annotations

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.specs import RowsSpec


class RowsScorer:
    """The scorer for rows that Spark ML has scored: it selects columns, and has nothing to load."""

    def __init__(self, spec: RowsSpec) -> None:
        self._spec = spec

    def load(self) -> None:
        """Do nothing: the model runs inside Spark."""

    def score(self, mini_batch: MiniBatch) -> pa.Table:
        """Return the columns that the model added."""
        if mini_batch.rows is None:
            raise RuntimeError("a Spark ML model scores rows, not files")
        return mini_batch.rows.select(list(self._spec.columns))

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
