from __future__ import annotations

import pyarrow as pa
import pytest

from sparkscore.minibatch import MiniBatch
from sparkscore.scorers import load_scorer
from sparkscore.scorers.specs import RowsSpec


def test_the_columns_that_spark_has_added_are_the_result() -> None:
    scorer = load_scorer(RowsSpec(("prediction", "probability")))
    rows = pa.table({"x": [1, 2], "probability": [0.5, 0.25], "prediction": [1, 0]})

    returned = scorer.score(MiniBatch("0", (), rows))
    scorer.close()

    assert returned.to_pydict() == {"prediction": [1, 0], "probability": [0.5, 0.25]}  # type: ignore[attr-defined]


def test_files_are_no_rows() -> None:
    with pytest.raises(RuntimeError, match="not files"):
        load_scorer(RowsSpec(("prediction",))).score(MiniBatch("0", ("/in/a",)))
