"""Score mini-batches with a scikit-learn, XGBoost or LightGBM model file. Runs on the workers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import MissingDependencyError, SignatureMismatchError
from sparkscore.minibatch import MiniBatch
from sparkscore.scorers.categories import CategoryMaker, category_maker, use_own_categories
from sparkscore.scorers.estimators import is_estimator, pass_texts_as_column, takes_matrix, warn_of_nan
from sparkscore.scorers.feature_names import class_name_of, find_named, take_named
from sparkscore.scorers.feed import feed_columns, names_of
from sparkscore.scorers.frames import HandedOver, hand_over, to_matrix
from sparkscore.scorers.load_warnings import LOADING
from sparkscore.scorers.model_code import methods_of, refuse_unknown_params, reporting
from sparkscore.scorers.model_files import fetch_model
from sparkscore.scorers.model_output import named_outputs, plain_output
from sparkscore.scorers.specs import PICKLES, FrameworkSpec
from sparkscore.scorers.xgboost_file import file_or_bytes
from sparkscore.scorers.xgboost_predict import BoosterMethod

# Parameters that methods accept in addition to those in their signatures. LightGBM silently ignores all other names.
# For an XGBoost Booster, 'missing' is a parameter of its DMatrix.
# Source: https://lightgbm.readthedocs.io/en/stable/Parameters.html#predict-parameters
_OF_LIGHTGBM: Final = (
    "num_threads", "predict_disable_shape_check", "pred_early_stop", "pred_early_stop_freq", "pred_early_stop_margin"
)  # fmt: skip
_MORE_PARAMS: Final = {
    "lightgbm.Booster": _OF_LIGHTGBM,
    **{f"lightgbm.LGBM{name}": _OF_LIGHTGBM for name in ("Classifier", "Model", "Ranker", "Regressor")},
    "xgboost.Booster": ("missing",),
}
_MakeMatrix = Callable[[pa.Table], npt.NDArray[Any] | None]
_MODULES: Final = {"sklearn": "sklearn", "xgboost": "xgboost", "lightgbm": "lightgbm"}


class FrameworkScorer:
    """A scorer for scikit-learn, XGBoost and LightGBM model files. It calls the model as plain Python code would.

    - Pickles from scikit-learn or any other library: the methods of the unpickled model get a DataFrame. XGBoost
      Boosters get a ``DMatrix`` instead, and scikit-learn's own estimators that were fitted with an array get a matrix
      of the same numbers.
    - XGBoost files: ``Booster.predict`` gets a ``DMatrix``, unless `BoosterMethod` can get equal results without one.
      For a classifier, it usually returns probabilities. If the deployment names a method that a Booster does not have,
      such as ``predict_proba``, the file is loaded as an ``XGBClassifier`` or ``XGBRegressor``, whose methods get a
      DataFrame.
    - LightGBM files: ``Booster.predict`` gets a DataFrame.

    Attributes:
        handed_over: the last DataFrame that was made for the model, with the rows that it was made from. None before
            the first call, after `close`, and if the model gets a matrix.
        warnings: warnings about the model, collected while it was loaded.
        verified: digest of the model file, once it has been checked on this host. Empty until then.
    """

    def __init__(self, spec: FrameworkSpec) -> None:
        self.handed_over: HandedOver | None = None
        self.warnings: tuple[str, ...] = ()
        self.verified: tuple[str, ...] = ()
        self._spec = spec
        self._model: Any = None
        self._is_estimator = False
        self._make_matrix: _MakeMatrix | None = None
        self._names_of_floats: list[tuple[str, str]] = []
        self._methods: dict[str, Callable[..., Any]] = {}
        self._counted: dict[str, int] = {}

    @property
    def copies_rows(self) -> bool:
        """Whether the model gets data that shares no memory with the rows, except for columns of some types.

        See `sparkscore.scorers.frames.is_copied`.
        """
        return not self._spec.dtypes.are_arrow

    @property
    def unseen(self) -> Mapping[str, int]:
        """By column, the number of values in the last mini-batch that are not among a LightGBM model's categories.

        Columns without such values are left out.
        """
        return self._counted

    def load(self) -> None:
        """Copy the model to this host and load it.

        Raises:
            ScorerFailedError: loading the model raised an exception.
            ModelError: the model cannot be copied, or its file has changed.
            ModelLoadError: the model lacks a method that the deployment names, or its categories cannot be read.
            SignatureMismatchError: a method does not have a parameter that the deployment sets.
            MissingDependencyError: the model's library is not installed on this worker.
        """
        if find_spec(_MODULES[self._spec.framework]) is None:
            raise _missing(self._spec.framework)
        wanted = self._spec.predict_fn or ("predict",)
        path = fetch_model(self._spec.files)
        self.verified = (self._spec.files.sha256,)
        with reporting(ErrorCode.MODEL_LOAD):
            model = _load(path, self._spec.framework, wanted)
            _use_one_thread(model)
            pass_texts_as_column(model)
            use_own_categories(model, self._counted)
            self.warnings = (*warn_of_nan(model, self._spec.dtypes), *_doubts_about(model, path))
            self._is_estimator = is_estimator(model)
            self._model = model
            methods = methods_of(model, wanted, self._spec.files.name)
            refuse_unknown_params(methods, dict(self._spec.params), _MORE_PARAMS.get(class_name_of(model), ()))
            make = category_maker(model, self._counted)
            self._methods = {name: _taking_frames(model, method, make) for name, method in methods.items()}
            self._make_matrix = self._find_matrix_maker(model)

    def score(self, mini_batch: MiniBatch) -> object:
        """Call the model's methods with the rows of a mini-batch, and return the scores.

        Raises:
            ScorerFailedError: the model raised an exception.
            SignatureMismatchError: the items are files, or the rows do not fit the model, for example because a column
                is missing or a value cannot be converted to the model's type.
            SourceSchemaError: a column cannot be converted to pandas; `to_pandas` lists the reasons.
            ModelLoadError: it cannot be determined which columns a LightGBM model's categories belong to.
        """
        if not self._methods:
            raise RuntimeError("the scorer is not loaded")
        self._counted.clear()
        data = self._data_of(mini_batch.rows)
        params = dict(self._spec.params)
        with reporting(ErrorCode.MODEL_PREDICT):
            outputs = {name: method(data, **params) for name, method in self._methods.items()}
            if len(outputs) > 1:
                return named_outputs(outputs, is_of_estimator=self._is_estimator)
            return plain_output(*outputs.values(), is_of_estimator=self._is_estimator)

    def close(self) -> None:
        """Release the model."""
        self._methods, self._model, self.handed_over = {}, None, None

    def _data_of(self, rows: pa.Table | None) -> Any:
        """Return the argument for the model's methods: a matrix if they take one, or a DataFrame."""
        spec = self._spec
        if rows is None:
            raise _mismatch(spec, "files", "rows: the model takes columns")
        if (matrix := self._matrix_of_floats(rows)) is not None:
            self.handed_over = None
            return matrix
        if spec.feeds is not None:
            taken, dtypes = feed_columns(rows, spec.feeds), spec.dtypes.renamed(names_of(spec.feeds))
        else:
            found = find_named(rows, self._model, spec.order_doubt)
            taken, dtypes = take_named(rows, found), spec.dtypes.renamed(found)
        matrix = None if self._make_matrix is None else self._make_matrix(taken)
        self.handed_over = hand_over(taken, dtypes) if matrix is None else None
        return matrix if self.handed_over is None else self.handed_over.frame

    def _matrix_of_floats(self, rows: pa.Table) -> npt.NDArray[Any] | None:
        """Return the matrix for a Booster's mini-batch of single-precision columns, or None for any other.

        A Booster computes with single precision. The driver declares its features as doubles, so that integers and
        doubles are rounded once, by XGBoost. These columns would become doubles, and then the same floats again.
        """
        if self._make_matrix is None or not self._names_of_floats:
            return None
        chosen = rows.select([column for column, _ in self._names_of_floats])
        if not all(found.equals(pa.float32()) for found in chosen.schema.types):
            return None
        return self._make_matrix(chosen.rename_columns([name for _, name in self._names_of_floats]))

    def _find_matrix_maker(self, model: Any) -> _MakeMatrix | None:
        """Return the function that converts rows to a matrix for the model, or None if it always gets a DataFrame.

        The function returns None for rows that the model must get as a DataFrame.
        """
        if self._spec.dtypes.are_arrow:
            return None
        if takes_matrix(model):
            return to_matrix
        only = next(iter(self._methods.values())) if len(self._methods) == 1 else None
        if not isinstance(only, BoosterMethod):
            return None
        feeds = self._spec.feeds or ()
        if all(feed.type == pa.float64() for feed in feeds):
            self._names_of_floats = names_of(feeds)
        return partial(only.matrix_of, params=dict(self._spec.params))


def _load(path: Path, framework: str, wanted: Sequence[str]) -> Any:
    if path.suffix.lower() in PICKLES:
        return _unpickle(path)
    if framework == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=str(path))
    return _load_xgboost(path, wanted)


def _unpickle(path: Path) -> Any:
    """Load a model from a pickle, using joblib if it is installed.

    A pickle can run arbitrary code, so the driver has already checked that the model is trusted (`check_trust`).
    """
    if find_spec("joblib") is None:
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - trusted, see above
    import joblib

    return joblib.load(path)


def _load_xgboost(path: Path, wanted: Sequence[str]) -> Any:
    import xgboost

    booster = xgboost.Booster(model_file=file_or_bytes(path))
    if all(hasattr(booster, name) for name in wanted):
        return booster
    # Files saved by XGBoost's scikit-learn classes contain the type of the class.
    model = xgboost.XGBClassifier() if "classifier" in (booster.attr("scikit_learn") or "") else xgboost.XGBRegressor()
    model.load_model(file_or_bytes(path))
    return model


def _doubts_about(model: Any, path: Path) -> tuple[str, ...]:
    """Return warnings about XGBoost settings that may make scores differ from those in the training code.

    The settings are ``missing``, which the model file does not contain, and ``best_iteration``, which
    ``Booster.predict`` ignores. There are no warnings for pickled models or for models of libraries other than XGBoost.
    """
    if path.suffix.lower() in PICKLES or not type(model).__module__.startswith("xgboost."):
        return ()
    is_booster = type(model).__name__ == "Booster"
    doubts = []
    # XGBoost's estimators remove this attribute when they load their file.
    if not is_booster or model.attr("scikit_learn"):
        advice = ", 'model.params: {missing: NUMBER}' names another value" if is_booster else ""
        doubts.append(
            "one of XGBoost's scikit-learn classes saved the file, which does not hold its 'missing': NaN and NULL "
            f"count as missing here{advice}"
        )
    best = model.attr("best_iteration") if is_booster else None
    if best is not None and int(best) + 1 < model.num_boosted_rounds():
        doubts.append(
            f"the file has {model.num_boosted_rounds()} rounds of trees and says 'best_iteration: {best}'. "
            "Booster.predict uses all of them. XGBoost's scikit-learn classes use those up to the best, as does "
            f"'model.params: {{iteration_range: [0, {int(best) + 1}]}}'"
        )
    return tuple(f"{LOADING}{doubt}" for doubt in doubts)


def _use_one_thread(model: Any) -> None:
    """Make an estimator or XGBoost Booster use a single thread, because Spark runs other tasks on the other cores.

    With one thread, forests also add up the results of their trees in the same order each time. LightGBM Boosters are
    left unchanged, because they take the number of threads as an argument of each call.
    """
    if hasattr(model, "get_params") and hasattr(model, "set_params"):
        settings: Mapping[str, Any] = model.get_params(deep=True)
        threads = [name for name, value in settings.items() if name.split("__")[-1] == "n_jobs" and value != 1]
        if threads:
            model.set_params(**dict.fromkeys(threads, 1))
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if type(booster).__module__.startswith("xgboost."):
        booster.set_param({"nthread": 1})


def _taking_frames(model: Any, method: Callable[..., Any], make: CategoryMaker | None) -> Callable[..., Any]:
    """Wrap a model's method so that it can be called with a DataFrame and the deployment's parameters.

    For an XGBoost Booster, the wrapper converts the DataFrame to a ``DMatrix`` where needed; see `BoosterMethod`.

    Args:
        model: the loaded model.
        method: a method of the model.
        make: function that converts DataFrame columns to the model's categories, or None if the model is not a
            LightGBM or XGBoost model.
    """
    class_name = class_name_of(model)
    if class_name == "lightgbm.Booster":
        return lambda frame, **params: method(frame, **{"num_threads": 1, **params})
    if class_name == "xgboost.Booster":
        return BoosterMethod(model, method, make)
    return method


def _missing(framework: str) -> MissingDependencyError:
    package = {"sklearn": "scikit-learn"}.get(framework, framework)
    return MissingDependencyError(
        code=ErrorCode.MISSING_PACKAGE,
        what=f"a model of {framework} needs the package '{package}', which is not installed on this worker",
        next_step=f"Install it there: pip install {package}.",
    )


def _mismatch(spec: FrameworkSpec, got: str, expected: str) -> SignatureMismatchError:
    return SignatureMismatchError(
        code=ErrorCode.MODEL_INPUT,
        what=f"input of model '{spec.files.name}'",
        got=got,
        expected=expected,
        next_step="Correct the input, or give the deployment a scoring script.",
    )
