"""Score with an MLflow model through its pyfunc, as `mlflow.pyfunc.load_model(path).predict(data)` does (worker)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.categories import use_own_categories
from sparkscore.scorers.dtypes import Dtypes, settle
from sparkscore.scorers.estimators import hand_over_texts, is_estimator, warn_of_nan
from sparkscore.scorers.failed import PartlyScored
from sparkscore.scorers.feature_names import find_named, take_named
from sparkscore.scorers.feed import feed_columns, feed_tensor, names_of
from sparkscore.scorers.frames import HandedOver, to_pandas
from sparkscore.scorers.images import feed_images
from sparkscore.scorers.mlflow_quiet import quiet_mlflow
from sparkscore.scorers.model_code import ImportPath, methods_of, reporting
from sparkscore.scorers.model_files import fetch_model
from sparkscore.scorers.model_output import named_outputs, plain_output
from sparkscore.scorers.nested import (
    has_null_inside,
    holds_lists_of_lists,
    parts_of,
    with_own_numbers,
    with_ragged_lists,
)
from sparkscore.scorers.own_modules import forget_modules
from sparkscore.scorers.specs import MlflowSpec
from sparkscore.signature.model_signature import Feed

_LIBRARIES: Final = frozenset({"sklearn", "lightgbm", "xgboost"})


class MlflowScorer:
    """An MLflow model in the worker process. Nothing of MLflow's tracking is asked or written."""

    def __init__(self, spec: MlflowSpec) -> None:
        self.handed_over: HandedOver | None = None
        self.warnings: tuple[str, ...] = ()
        self.verified: tuple[str, ...] = ()
        self._spec = spec
        self._folder: Path | None = None
        self._path = ImportPath()
        self._model: Any = None
        self._is_estimator = False
        self._methods: dict[str, Callable[..., Any]] = {}
        self._counted: dict[str, int] = {}

    def load(self) -> None:
        """Fetch the model and load its pyfunc.

        Raises:
            ScorerFailedError: the model's library raised.
            ModelLoadError: the model lacks a method that the deployment asks for.
            MissingDependencyError: MLflow is not installed on this worker.
        """
        self._folder = fetch_model(self._spec.files)
        self.verified = (self._spec.files.sha256,)
        with quiet_mlflow(), self._path.entered(), reporting(ErrorCode.MODEL_LOAD):
            from mlflow import pyfunc  # noqa: PLC0415 - only workers that score MLflow models need it

            # The workers' packages are compared with the model's requirements elsewhere, once for a run.
            self._model = pyfunc.load_model(str(self._folder), suppress_warnings=True)
            self._prepare_estimator()
            _keep_objects(self._model, self._spec.dtypes.renamed(names_of(self._spec.feeds or ())).with_null)
            self._methods = self._find_methods()

    def score(self, mini_batch: MiniBatch) -> object:
        """Call the model with the rows, or with what the files hold.

        Raises:
            ScorerFailedError: the model raised.
            SignatureMismatchError: the rows are not what the signature asks for.
        """
        if self._model is None:
            raise RuntimeError("the scorer is not loaded")
        self.handed_over = None
        self._counted.clear()
        if mini_batch.rows is None:
            return self._score_files(mini_batch.files)
        rows, dtypes = self._rows_of(mini_batch.rows)
        data = self._data_of(rows, dtypes)
        if isinstance(data, pd.DataFrame) and list(data.columns) == rows.column_names:
            self.handed_over = HandedOver(data, settle(rows, dtypes))
        return self._predict(data)

    def close(self) -> None:
        """Forget the model and the modules that it brought along."""
        self._model, self._methods, self.handed_over = None, {}, None
        if self._folder is not None:
            forget_modules(self._folder)

    @property
    def unseen(self) -> Mapping[str, int]:
        """Number of values, by column, that the model does not know, in the last mini-batch."""
        return self._counted

    def _prepare_estimator(self) -> None:
        if _LIBRARIES & set(self._model.metadata.flavors):
            use_own_categories(self._model.get_raw_model(), self._counted)
        if "sklearn" in self._model.metadata.flavors:
            estimator = self._model.get_raw_model()
            hand_over_texts(estimator)
            self.warnings = warn_of_nan(estimator, self._spec.dtypes)
            self._is_estimator = is_estimator(estimator)

    def _find_methods(self) -> dict[str, Callable[..., Any]]:
        """Look for the methods in the model that the pyfunc wraps; ``predict`` is always the pyfunc's own."""
        wanted = [name for name in self._spec.predict_fn if name != "predict"]
        own = methods_of(self._wrapped_model(), wanted, self._spec.files.name) if wanted else {}
        return {name: own.get(name, self._model.predict) for name in self._spec.predict_fn}

    def _wrapped_model(self) -> Any:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see load()

        try:
            return self._model.unwrap_python_model()
        except MlflowException:  # so it is no PythonModel
            return self._model.get_raw_model()

    def _raw_model(self) -> Any:
        """Give the library's own model; None where there is none, as behind a PythonModel."""
        with suppress(Exception):  # flavors raise what they like
            return self._model.get_raw_model()
        return None

    def _predict(self, data: Any) -> object:
        params = dict(self._spec.params)
        with self._path.entered(), reporting(ErrorCode.MODEL_PREDICT):
            if not self._methods:
                return self._conform(self._model.predict(data, params=params or None))
            outputs = {name: method(data, **params) for name, method in self._methods.items()}
            if len(outputs) > 1:
                return named_outputs(outputs, is_of_estimator=self._is_estimator)
            return plain_output(*outputs.values(), is_of_estimator=self._is_estimator)

    def _conform(self, returned: Any) -> object:
        """Give a matrix where the signature promises one: some flavors answer a DataFrame with an unnamed DataFrame."""
        outputs = self._model.metadata.get_output_schema()
        if isinstance(returned, pd.DataFrame) and outputs is not None and outputs.is_tensor_spec():
            (spec, *others) = outputs.inputs
            if spec.name is None and not others and len(spec.shape) > 1:
                return returned.to_numpy()
        return plain_output(returned, is_of_estimator=self._is_estimator)

    def _rows_of(self, rows: pa.Table) -> tuple[pa.Table, Dtypes]:
        """Give the columns that the model gets, and their dtypes, both by the names that the model knows."""
        spec = self._spec
        if spec.feeds is None:
            found = find_named(rows, self._raw_model(), spec.order_doubt)
            return take_named(rows, found), spec.dtypes.renamed(found)
        if any(feed.shape is not None for feed in spec.feeds):
            return rows, spec.dtypes
        return feed_columns(rows, spec.feeds), spec.dtypes.renamed(names_of(spec.feeds))

    def _data_of(self, rows: pa.Table, dtypes: Dtypes) -> Any:
        feeds = self._spec.feeds
        if feeds is None:
            return to_pandas(rows, dtypes)
        if any(feed.shape is not None for feed in feeds):
            return self._tensors({feed.name: feed_tensor(rows, feed) for feed in feeds})
        return self._frame(rows, dtypes)

    def _frame(self, table: pa.Table, dtypes: Dtypes) -> Any:
        """Give the form that the signature asks for: a list where ``predict`` has type hints, else a DataFrame."""
        specs = self._model.metadata.get_input_schema().inputs
        takes_objects = len(specs) == 1 and specs[0].name is None and specs[0].to_dict()["type"] == "object"
        if self._model.metadata.to_dict().get("is_signature_from_type_hint"):
            rows = table if takes_objects else _with_nan(table.column(0))
            return rows.to_pylist(maps_as_pydicts="strict")
        if takes_objects:
            return pd.DataFrame({0: table.to_pylist(maps_as_pydicts="strict")})
        frame = to_pandas(table, dtypes)
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_nested(column.type):
                _refuse_lost_nulls(name, column)
                frame[name] = _objects(column)
        if all(isinstance(spec.name, int) for spec in specs):
            frame.columns = pd.Index([spec.name for spec in specs][: frame.shape[1]])
        return frame

    def _tensors(self, tensors: dict[str | None, Any]) -> Any:
        """Give the tensor, or the tensors by name, with NumPy's own texts where the signature has them."""
        specs = {spec.name: spec for spec in self._model.metadata.get_input_schema().inputs}
        typed = {name: _typed(tensor, specs[name].type) for name, tensor in tensors.items()}
        return typed[None] if list(typed) == [None] else typed

    def _score_files(self, files: Sequence[str]) -> object:
        feeds = self._spec.feeds
        if feeds is None or len(feeds) != 1:
            raise SignatureMismatchError(
                code=ErrorCode.MODEL_INPUT,
                what=f"model '{self._spec.files.name}' is to score files",
                got="no signature" if feeds is None else f"{len(feeds)} inputs",
                expected="one input: a tensor, or a binary column",
                next_step="Log the model with such a signature, or give the deployment a scoring script.",
            )
        contents, failures = feed_images(files, feeds[0])
        if len(failures) == len(files):
            return PartlyScored([], failures)
        scores = self._predict(self._contents(contents, feeds[0]))
        return PartlyScored(scores, failures) if failures else scores

    def _contents(self, contents: Any, feed: Feed) -> Any:
        if feed.shape is not None:
            return self._tensors({feed.name: contents})
        return self._frame(pa.table({feed.name or "content": contents}), self._spec.dtypes)


def _with_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give NaN for NULL to a ``list[float]``, which takes no None, as a DataFrame has it too."""
    return column.fill_null(float("nan")) if pa.types.is_floating(column.type) else column


def _keep_objects(model: Any, columns: frozenset[str]) -> None:
    """Let the model get objects in columns of booleans and NULL in every mini-batch. Changes the loaded pyfunc.

    Where no NULL is in such a column of a mini-batch, MLflow's schema enforcement makes ``bool`` of it.
    """
    own = getattr(model, "_predict_fn", None)
    if own is None or not columns:
        return

    @wraps(own)
    def predict(data: Any, **options: Any) -> Any:
        if isinstance(data, pd.DataFrame):
            data = data.astype({name: object for name in columns if name in data and data[name].dtype == bool})
        return own(data, **options)

    model._predict_fn = predict  # noqa: SLF001 - MLflow has no other place between its enforcement and the model


def _refuse_lost_nulls(name: str, column: pa.Array | pa.ChunkedArray) -> None:
    """Refuse a NULL in a list of texts or booleans, of which MLflow's schema enforcement makes 'None' and False.

    Source: mlflow/models/utils.py, `_enforce_array`: ``to_numpy(dtype=...)``.

    Raises:
        SignatureMismatchError: there is one.
    """
    is_list = pa.types.is_list(column.type)
    for part in parts_of(column):
        if is_list and part.null_count and (pa.types.is_string(part.type) or pa.types.is_boolean(part.type)):
            raise SignatureMismatchError(
                code=ErrorCode.MODEL_INPUT_VALUE,
                what=f"input column '{name}'",
                got="a NULL in a list of texts or booleans",
                expected="none: MLflow makes 'None' or False of it before the model sees it",
                next_step="Leave such elements out of the lists, or give the deployment a scoring script.",
            )
        _refuse_lost_nulls(name, part)


def _objects(column: pa.ChunkedArray) -> pd.Series[Any]:
    """Give dicts for maps, which are lists of pairs in Arrow; lists and structs as pyarrow makes them."""
    values: pd.Series[Any] = column.to_pandas(maps_as_pydicts="strict", integer_object_nulls=True)
    own = with_own_numbers(values, column.type) if has_null_inside(column) else values
    return own.map(with_ragged_lists) if holds_lists_of_lists(column.type) else own


def _typed(tensor: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return tensor.astype(dtype.type) if dtype.kind in "US" and tensor.dtype.kind == "O" else tensor
