"""Score the rows of a batch function of Unity Catalog. Runs on Databricks, where there is no sparkscore.

`sparkscore.sql.unity_catalog` copies this module into a statement, so it imports only NumPy, pandas and the standard
library. Two dollar signs side by side would end the body of the function, so they must not stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

# For each argument: its name, the dtype that the model takes, and whether it may be NULL.
Arguments = Sequence[tuple[str, str, bool]]
# Returns the predictions, a column each.
Predict = Callable[[pd.DataFrame], Sequence[Any]]

# pandas holds a column of integers beside a NULL as doubles, which have each integer only below this number.
_LARGEST = 2**53


class Scorer:
    """Scores batches of rows. A row that cannot be scored has NULLs and, in the column ``error``, the reason."""

    def __init__(
        self,
        arguments: Arguments,
        outputs: Sequence[tuple[str, str]],
        version: str | None,
        load: Callable[[], Predict],
        *,
        raises: bool,
    ) -> None:
        """Store what the function is.

        Args:
            arguments: the arguments, in order.
            outputs: for each prediction, its name and its dtype.
            version: version of the model, or None.
            load: returns the function that scores a DataFrame. It is called for the first row.
            raises: whether a row that fails stops the query.
        """
        self.arguments, self.outputs, self.version, self.load, self.raises = arguments, outputs, version, load, raises
        self.predict: Predict | None = None

    def score(self, batches: Iterator[Any]) -> Iterator[pd.DataFrame]:
        """Yield a DataFrame of results for each batch, which is a tuple of columns, or a column."""
        for batch in batches:
            columns = [column.reset_index(drop=True) for column in (batch if isinstance(batch, tuple) else (batch,))]
            reasons = self.problems_of(columns)
            good = [position for position, reason in enumerate(reasons) if reason is None]
            bad = [self.failed(position, reason) for position, reason in enumerate(reasons) if reason is not None]
            scored = self.scored(self.frame_of([column.iloc[good] for column in columns]))
            result = pd.concat([scored, *bad]).sort_index()
            if self.raises and (told := result["error"].dropna()).size:
                raise ValueError(told.iloc[0])
            yield result.assign(model_version=pd.Series([self.version] * len(result), result.index, object))

    def problems_of(self, columns: Sequence[Any]) -> list[str | None]:
        """Return for each row why its arguments cannot be used, or None."""
        reasons: list[str | None] = [None] * len(columns[0])
        for column, (name, dtype, may_be_null) in zip(columns, self.arguments, strict=True):
            null = column.isna().to_numpy()
            unsure = np.zeros(len(column), bool)
            if dtype == "int64" and column.dtype.kind == "f":
                unsure = ~null & (column.abs().to_numpy() >= _LARGEST)
            for position in np.flatnonzero(unsure | (null & (not may_be_null))):
                got = (
                    "an integer from 2^53 on beside a NULL, which pandas may have rounded"
                    if unsure[position]
                    else "NULL"
                )
                reasons[position] = f"argument '{name}': got {got}"
        return reasons

    def frame_of(self, columns: Sequence[Any]) -> pd.DataFrame:
        """Return the rows as the model takes them. Integers that may be NULL are doubles in each batch."""
        frame = {}
        for column, (name, dtype, may_be_null) in zip(columns, self.arguments, strict=True):
            wide = {"bool": "object"}.get(dtype, "float64" if dtype.startswith("int") else dtype)
            frame[name] = column.astype(wide if may_be_null else dtype)
        return pd.DataFrame(frame, index=columns[0].index)

    def scored(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the results of some rows. If the model fails, its rows are halved until those that fail are alone."""
        if not len(frame):
            return self.failed(None, None)
        if self.predict is None:
            self.predict = self.load()
        try:
            # The number of columns that the model returns is that of the outputs, or zip raises an error.
            pairs = zip(self.outputs, self.predict(frame), strict=True)
            columns = {name: as_output(values, dtype, frame.index) for (name, dtype), values in pairs}
            return pd.DataFrame({**columns, "error": pd.Series(None, frame.index, object)}, index=frame.index)
        except Exception as error:  # noqa: BLE001 - whatever the model raises is the error of a row
            if len(frame) == 1:
                return self.failed(frame.index[0], f"{type(error).__name__}: {error}")
        half = len(frame) // 2
        return pd.concat([self.scored(frame.iloc[:half]), self.scored(frame.iloc[half:])])

    def failed(self, position: int | None, reason: str | None) -> pd.DataFrame:
        """Return the result of a row that failed, or no rows if the position is None."""
        index = pd.Index([] if position is None else [position], dtype="int64")
        columns = {name: pd.Series([None] * len(index), index, dtype) for name, dtype in self.outputs}
        return pd.DataFrame({**columns, "error": pd.Series([reason] * len(index), index, object)}, index=index)


def as_output(values: Any, dtype: str, index: Any) -> Any:
    """Return predictions with their dtype, and refuse those that would change."""
    found = np.asarray(values)
    if found.shape != (len(index),):
        raise ValueError(
            f"the model returned values of shape {found.shape}, expected one for each of {len(index)} rows"
        )
    converted: Any = pd.Series(found.tolist(), index).astype(dtype)  # type: ignore[call-overload]  # any dtype
    if dtype == "float32" and not np.array_equal(found, converted.to_numpy(), equal_nan=True):
        raise ValueError("the model returned a double that is no float")
    return converted
