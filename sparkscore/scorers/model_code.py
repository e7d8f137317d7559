"""Call a model's code: report its exceptions as failures, find its methods, and set its import path.

Runs on the workers.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError, SignatureMismatchError, SparkscoreError, names
from sparkscore.outcome import describe_failure
from sparkscore.scorers.failed import ScorerFailedError

_NO_MODEL: Final = (
    "Save the model itself instead of an object that holds it, or give the deployment a scoring script that unpacks it."
)


@contextmanager
def reporting(code: ErrorCode) -> Iterator[None]:
    """Replace exceptions that a model raises in the ``with`` block with a `ScorerFailedError`.

    sparkscore's own errors and `KeyboardInterrupt` are not replaced.

    Args:
        code: code of the failure, which depends on whether the model is being loaded or is scoring.

    Raises:
        ScorerFailedError: the ``with`` block raised any other exception.
    """
    try:
        yield
    except (KeyboardInterrupt, SparkscoreError):
        raise
    # This includes SystemExit: if a model calls sys.exit(), only its mini-batch fails, and the worker continues.
    except BaseException as error:  # noqa: BLE001 - model code may raise anything
        raise ScorerFailedError(describe_failure(error, code)) from None


def methods_of(model: object, wanted: Sequence[str], model_name: str) -> dict[str, Callable[..., Any]]:
    """Return a model's methods by name.

    Args:
        model: the loaded model.
        wanted: names of the methods to return.
        model_name: name of the model, for the error message.

    Raises:
        ModelLoadError: a method does not exist or is not callable.
    """
    found = {name: getattr(model, name, None) for name in wanted}
    missing = [name for name, method in found.items() if not callable(method)]
    if missing:
        known = [name for name in dir(model) if name.startswith(("predict", "transform", "score", "decision"))]
        raise ModelLoadError(
            code=ErrorCode.MODEL_METHOD,
            what=f"model '{model_name}' of class {type(model).__name__}",
            got=f"no method {names(missing)}",
            expected=names(known) if known else "a model",
            next_step="Correct 'model.predict_fn'." if known else _NO_MODEL,
        )
    return {name: method for name, method in found.items() if method is not None}


def refuse_unknown_params(
    methods: Mapping[str, Callable[..., Any]], params: Collection[str], also: Collection[str] = ()
) -> None:
    """Raise an error if the deployment sets a parameter that one of the model's methods does not have.

    The deployment cannot set a method's first parameter, which takes the data. Methods without a Python signature are
    not checked.

    Args:
        methods: the methods, by name.
        params: names of the parameters that the deployment sets.
        also: names that the methods accept in addition to those in their signatures. If empty, a method with
            ``**kwargs`` accepts any name. Otherwise, ``**kwargs`` is ignored.

    Raises:
        SignatureMismatchError: a method does not have one of the parameters.
    """
    for name, method in methods.items() if params else ():
        taken = _parameters_of(method)
        is_open = any(each.kind is each.VAR_KEYWORD for each in taken)
        known = [each.name for each in taken[1:] if each.kind is not each.VAR_KEYWORD]
        unknown = set(params) - {*known, *also}
        if unknown and taken and (also or not is_open):
            raise SignatureMismatchError(
                code=ErrorCode.MODEL_PARAMS,
                what=f"'model.params' and the parameters of the model's {name}()",
                got=names(unknown),
                expected=names([*known, *also]),
                next_step="Correct 'model.params'.",
            )


def _parameters_of(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a method's parameters, or an empty list if it has no Python signature, for example a C function."""
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return []


class ImportPath:
    """A model's ``sys.path``, including the entries that the model has added for its own code.

    It is active only while the model's code runs, so that the model does not affect the worker's imports.
    """

    def __init__(self) -> None:
        self._models: list[str] | None = None

    @property
    def folders(self) -> list[str]:
        """The model's ``sys.path``. The worker's before the first ``with`` block."""
        return sys.path if self._models is None else self._models

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Use the model's ``sys.path`` in the ``with`` block, and restore the worker's afterwards.

        The first block starts with the worker's ``sys.path``. Changes made in a block are kept for the next one, unless
        the block raises an exception.
        """
        path, workers = sys.path, sys.path.copy()
        try:
            if self._models is not None:
                path[:] = self._models
            yield
            self._models = list(sys.path)
        finally:
            # MLflow replaces the list object itself, so the original object is restored as well.
            sys.path = path
            path[:] = workers
