"""Call a model's code: report its exceptions as failures, find its methods, and isolate its import path (worker)."""

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
    """Raise a `ScorerFailedError` for any exception of a model's library; sparkscore's own errors pass through.

    Args:
        code: the failure's code, which says whether the model was loading or predicting.

    Raises:
        ScorerFailedError: the ``with`` block raised an exception.
    """
    try:
        yield
    except (KeyboardInterrupt, SparkscoreError):
        raise
    # SystemExit included: a model that calls sys.exit() has failed its mini-batch, not ended the worker.
    except BaseException as error:  # noqa: BLE001 - model code may raise anything
        raise ScorerFailedError(describe_failure(error, code)) from None


def methods_of(model: object, wanted: Sequence[str], model_name: str) -> dict[str, Callable[..., Any]]:
    """Return the methods of a model that the deployment asks for, by name.

    Raises:
        ModelLoadError: the model has no such method.
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
    """Refuse parameters that a method does not have, if its signature says which it has.

    Args:
        methods: the methods by name.
        params: names of the deployment's parameters.
        also: names that a method with ``**kwargs`` knows; if empty, such a method accepts every name.

    Raises:
        SignatureMismatchError: a method has no such parameter.
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
    """Return a method's parameters; an empty list if it is written in C and has no signature."""
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return []


class ImportPath:
    """The ``sys.path`` of a model, with the entries that it added for its own code; used only while that code runs."""

    def __init__(self) -> None:
        self._models: list[str] | None = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Set ``sys.path`` to the model's in the ``with`` block, and restore the worker's afterwards."""
        path, workers = sys.path, sys.path.copy()
        try:
            if self._models is not None:
                path[:] = self._models
            yield
            self._models = list(sys.path)
        finally:
            # MLflow replaces the list itself.
            sys.path = path
            path[:] = workers
