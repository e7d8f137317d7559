"""Daft: a class of which each worker holds one object, called with batches of columns."""

from __future__ import annotations

from typing import Any

import daft
import numpy as np

from tests.bench.cases import Case
from tests.bench.predictor import BATCH, load_predict, matrix_of_arrays, prediction_type


def scorer_of(case: Case) -> Any:
    """Return the class that scores the columns of a case."""
    dtype = daft.DataType.float32() if prediction_type(case) == "float" else daft.DataType.float64()

    class Scorer:
        def __init__(self) -> None:
            self._predict = load_predict(case)

        @daft.method.batch(return_dtype=dtype, batch_size=BATCH)  # type: ignore[untyped-decorator]
        def score(self, *columns: Any) -> Any:
            arrays = [column.to_arrow().to_numpy(zero_copy_only=False) for column in columns]
            return np.asarray(self._predict(matrix_of_arrays(arrays)))

    return daft.cls(Scorer)


class Daft:
    """Daft's own runner, in this process."""

    def __init__(self, case: Case, name: str) -> None:
        self.turn_to(case, name)

    def turn_to(self, case: Case, name: str) -> None:  # noqa: ARG002 - it is one side
        self._case = case
        self._scorer = scorer_of(case)()

    def run(self, source: str, output: str) -> dict[str, Any]:
        columns = [daft.col(name) for name in self._case.features]
        rows = daft.read_parquet(f"{source}/*.parquet")
        scored = rows.select(
            *(daft.col(name) for name in self._case.carry), self._scorer.score(*columns).alias("prediction")
        )
        if self._case.output_format == "delta":
            scored.write_deltalake(output)
        else:
            scored.write_parquet(output)
        return {}

    def stop(self) -> None:
        """Nothing runs besides this process."""


def start(case: Case, name: str) -> Daft:
    return Daft(case, name)
