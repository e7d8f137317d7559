"""What a model's library returned, as columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sparkscore.returned import tabulate
from sparkscore.scorers.model_output import plain_output


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 1], ["c0", "c1"]),
        (["no", "yes"], ["no", "yes"]),
        # The classes of a classifier: the probability of class 1 must not be called c0.
        ([1, 2], ["1", "2"]),
        ([1, 0], ["1", "0"]),
        (np.array([3, 7]), ["3", "7"]),
        ([0.0, 1.0], ["0.0", "1.0"]),
        ([False, True], ["False", "True"]),
        (["a", 1], ["a", "1"]),
    ],
)
def test_numbers_in_another_order_than_pandas_own_are_names(labels: Any, names: list[str]) -> None:
    table = tabulate(plain_output(pd.DataFrame([[0.25, 0.75]], columns=labels))).table

    assert table.to_pydict() == dict(zip(names, [[0.25], [0.75]], strict=True))


@pytest.mark.parametrize("label", [0, 7])
def test_a_single_column_that_nobody_named_is_the_prediction(label: int) -> None:
    assert tabulate(plain_output(pd.DataFrame({label: [0.5]}))).table.to_pydict() == {"prediction": [0.5]}
