"""Score mini-batches with an MLflow model, as ``mlflow.pyfunc.load_model(path).predict(data)`` does.

Runs on the workers.
"""

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
from sparkscore.registry import quiet_mlflow
from sparkscore.scorers.categories import use_own_categories
from sparkscore.scorers.dtypes import Dtypes, settle
from sparkscore.scorers.estimators import is_estimator, pass_texts_as_column, warn_of_nan
from sparkscore.scorers.failed import PartlyScored
from sparkscore.scorers.feature_names import find_named, take_named
from sparkscore.scorers.feed import feed_columns, feed_tensor, names_of
from sparkscore.scorers.frames import HandedOver, to_pandas
from sparkscore.scorers.images import feed_images
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
    """A scorer that loads an MLflow model as a pyfunc from files on this host, without using MLflow's tracking store.

    Attributes:
        handed_over: the DataFrame that was passed to the model in the last call and the rows it was made from. None if
            the model got no DataFrame, or one whose column names are numbers.
        warnings: warnings about the model, collected while it was loaded.
        verified: digest of the model's files, once it has been checked on this host. Empty until then.
    """

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
        """Copy the model to this host and load it as a pyfunc.

        Raises:
            ScorerFailedError: loading the model raised an exception.
            ModelError: the model cannot be copied, or its files have changed.
            ModelLoadError: the model lacks a method that the deployment names, or its categories cannot be read.
            MissingDependencyError: MLflow is not installed on this worker.
        """
        self._folder = fetch_model(self._spec.files)
        self.verified = (self._spec.files.sha256,)
        with quiet_mlflow(), self._path.entered(), reporting(ErrorCode.MODEL_LOAD):
            from mlflow import pyfunc

            # MLflow's own warning about requirements is suppressed, because `sparkscore.scorers.environment` compares
            # them with the worker's packages.
            self._model = pyfunc.load_model(str(self._folder), suppress_warnings=True)
            self._prepare_estimator()
            _keep_objects(self._model, self._spec.dtypes.renamed(names_of(self._spec.feeds or ())).with_null)
            self._methods = self._find_methods()

    def score(self, mini_batch: MiniBatch) -> object:
        """Call the model with the rows or files of a mini-batch, and return the scores.

        If any files cannot be read or decoded, a `PartlyScored` is returned, with scores for any remaining files.

        Raises:
            ScorerFailedError: the model raised an exception.
            SignatureMismatchError: the items are files, but the signature does not have exactly one input; or the rows
                do not fit the model, for example because a column is missing or a value cannot be converted to the
                type in the signature.
            SourceSchemaError: a column cannot be converted to pandas; `to_pandas` lists the reasons.
            ModelLoadError: the categories of a LightGBM model cannot be matched with its columns.
            MissingDependencyError: images must be decoded, but the ``pillow`` package is not installed.
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
        """Release the model and unload the modules that were imported from its folder."""
        self._model, self._methods, self.handed_over = None, {}, None
        if self._folder is not None:
            forget_modules(self._folder)

    @property
    def import_path(self) -> list[str]:
        """The model's import path, with the folders of its own code."""
        return self._path.folders

    @property
    def copies_rows(self) -> bool:
        """Whether the model gets DataFrames that share no memory with the rows, except for columns of some types.

        See `sparkscore.scorers.frames.is_copied`. A tensor may be a view of the rows.
        """
        has_tensors = any(feed.shape is not None for feed in self._spec.feeds or ())
        return not has_tensors and not self._spec.dtypes.are_arrow

    @property
    def unseen(self) -> Mapping[str, int]:
        """For each column, the number of values in the last mini-batch for which a LightGBM model has no category.

        Columns without such values are left out.
        """
        return self._counted

    def _prepare_estimator(self) -> None:
        if _LIBRARIES & set(self._model.metadata.flavors):
            use_own_categories(self._model.get_raw_model(), self._counted)
        if "sklearn" in self._model.metadata.flavors:
            estimator = self._model.get_raw_model()
            pass_texts_as_column(estimator)
            self.warnings = warn_of_nan(estimator, self._spec.dtypes)
            self._is_estimator = is_estimator(estimator)

    def _find_methods(self) -> dict[str, Callable[..., Any]]:
        """Return the methods listed in the deployment's ``model.predict_fn``, by name.

        ``predict`` is the pyfunc's own method. All others are methods of the model that the pyfunc wraps.
        """
        wanted = [name for name in self._spec.predict_fn if name != "predict"]
        own = methods_of(self._wrapped_model(), wanted, self._spec.files.name) if wanted else {}
        return {name: own.get(name, self._model.predict) for name in self._spec.predict_fn}

    def _wrapped_model(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._model.unwrap_python_model()
        except MlflowException:  # the model is not a PythonModel
            return self._model.get_raw_model()

    def _raw_model(self) -> Any:
        """Return the model object wrapped in the pyfunc, or None if MLflow raises an exception."""
        with suppress(Exception):  # flavors may raise anything
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
        """Convert the model's return value to the form described in the signature.

        A DataFrame is converted to a matrix if the signature's only output is an unnamed tensor with several
        dimensions, because some flavors return a DataFrame without column names in this case. Any other value is
        converted by `plain_output`.
        """
        outputs = self._model.metadata.get_output_schema()
        if isinstance(returned, pd.DataFrame) and outputs is not None and outputs.is_tensor_spec():
            (spec, *others) = outputs.inputs
            if spec.name is None and not others and len(spec.shape) > 1:
                return returned.to_numpy()
        return plain_output(returned, is_of_estimator=self._is_estimator)

    def _rows_of(self, rows: pa.Table) -> tuple[pa.Table, Dtypes]:
        """Select the input columns that the model takes, and rename them to the model's names if it has any.

        For a model that takes tensors, the rows are returned unchanged.

        Returns:
            the selected columns, and dtype options with the new names.
        """
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
        """Convert a table to the argument for the model's ``predict``.

        The argument is a list if MLflow derived the signature from type hints, and a DataFrame otherwise.

        Raises:
            SignatureMismatchError: MLflow would replace a NULL inside a list with a value.
        """
        specs = self._model.metadata.get_input_schema().inputs
        takes_objects = len(specs) == 1 and specs[0].name is None and specs[0].to_dict()["type"] == "object"
        if self._model.metadata.to_dict().get("is_signature_from_type_hint"):
            rows = table if takes_objects else _with_nan(table.column(0))
            return rows.to_pylist(maps_as_pydicts="strict")
        for name, column in zip(table.column_names, table.columns, strict=True):
            _refuse_lost_nulls(name, column)
        if takes_objects:
            return pd.DataFrame({0: table.to_pylist(maps_as_pydicts="strict")})
        frame = to_pandas(table, dtypes)
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_nested(column.type):
                frame[name] = _objects(column)
        if all(isinstance(spec.name, int) for spec in specs):
            frame.columns = pd.Index([spec.name for spec in specs][: frame.shape[1]])
        return frame

    def _tensors(self, tensors: dict[str | None, Any]) -> Any:
        """Convert tensors to the types in the signature, and return the argument for the model's ``predict``.

        If the signature has no names, the argument is the tensor itself. Otherwise, it is a dictionary of tensors by
        name.
        """
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
    """Replace NULL with NaN in a float column, because MLflow rejects None for the type hint ``list[float]``.

    Other columns are returned unchanged.
    """
    return column.fill_null(float("nan")) if pa.types.is_floating(column.type) else column


def _keep_objects(model: Any, columns: frozenset[str]) -> None:
    """Patch a pyfunc so that boolean columns that may contain NULLs have dtype ``object`` in every mini-batch.

    If a mini-batch contains no NULL, MLflow's schema enforcement converts the column to ``bool``. This function wraps
    the private method that a pyfunc calls after the enforcement, to convert the column back.

    Args:
        model: the loaded pyfunc, which is modified.
        columns: names of the integer and boolean columns that may contain NULLs. Integer columns are left unchanged.
    """
    own = getattr(model, "_predict_fn", None)
    if own is None or not columns:
        return

    @wraps(own)
    def predict(data: Any, **options: Any) -> Any:
        if isinstance(data, pd.DataFrame):
            data = data.astype({name: object for name in columns if name in data and data[name].dtype == bool})
        return own(data, **options)

    model._predict_fn = predict  # noqa: SLF001 - MLflow has no public hook between its enforcement and the model


def _refuse_lost_nulls(name: str, column: pa.Array | pa.ChunkedArray) -> None:
    """Raise an error if a list of strings or booleans contains a NULL.

    MLflow's schema enforcement would convert the NULL to the string 'None' or to False.

    Source: mlflow/models/utils.py, `_enforce_array`: ``to_numpy(dtype=...)``.

    Args:
        name: name of the column, for the error message.
        column: the column. Its lists may be nested in other lists, structs or maps.

    Raises:
        SignatureMismatchError: a list in the column contains such a NULL.
    """
    is_list = pa.types.is_list(column.type)
    for part in parts_of(column):
        if is_list and part.null_count and (pa.types.is_string(part.type) or pa.types.is_boolean(part.type)):
            raise SignatureMismatchError(
                code=ErrorCode.MODEL_INPUT_VALUE,
                what=f"input column '{name}'",
                got="a NULL in a list of texts or booleans",
                expected="none: MLflow converts it to 'None' or False before the model gets it",
                next_step="Remove such elements from the lists, or give the deployment a scoring script.",
            )
        _refuse_lost_nulls(name, part)


def _objects(column: pa.ChunkedArray) -> pd.Series[Any]:
    """Convert a column of lists, structs or maps to a Series of Python objects.

    Structs and maps become dictionaries, and lists become NumPy arrays. A list of lists of different lengths becomes a
    Python list, because MLflow could not convert it to a single NumPy array.
    """
    values: pd.Series[Any] = column.to_pandas(maps_as_pydicts="strict", integer_object_nulls=True)
    own = with_own_numbers(values, column.type) if has_null_inside(column) else values
    return own.map(with_ragged_lists) if holds_lists_of_lists(column.type) else own


def _typed(tensor: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return tensor.astype(dtype.type) if dtype.kind in "US" and tensor.dtype.kind == "O" else tensor
