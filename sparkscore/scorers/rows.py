"""Take the columns of a model that Spark itself has applied (worker)."""

from __future__ import annotations

import pyarrow as pa

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.specs import RowsSpec


class RowsScorer:
    """Rows that come scored: nothing to load, and nothing that could fail here."""

    def __init__(self, spec: RowsSpec) -> None:
        self._spec = spec

    def load(self) -> None:
        """Nothing: the model ran inside Spark."""

    def score(self, mini_batch: MiniBatch) -> pa.Table:
        """Give the columns that the model added."""
        if mini_batch.rows is None:
            raise RuntimeError("a model that Spark applies takes rows")
        return mini_batch.rows.select(list(self._spec.columns))

    def close(self) -> None:
        """Nothing to give back."""
