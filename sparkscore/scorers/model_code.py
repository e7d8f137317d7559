"""Call the code of a model: report its exceptions as failures, find its methods, and set its import path (worker)."""

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
    """Replace any exception that a model raises in the ``with`` block with a `ScorerFailedError`.

    Only sparkscore's own errors and `KeyboardInterrupt` pass through.

    Args:
        code: the code of the failure, which says whether the model was being loaded or was scoring.

    Raises:
        ScorerFailedError: the ``with`` block raised any other exception.
    """
    try:
        yield
    except (KeyboardInterrupt, SparkscoreError):
        raise
    # SystemExit included: if a model calls sys.exit(), only its mini-batch fails, and the worker continues.
    except BaseException as error:  # noqa: BLE001 - model code may raise anything
        raise ScorerFailedError(describe_failure(error, code)) from None


def methods_of(model: object, wanted: Sequence[str], model_name: str) -> dict[str, Callable[..., Any]]:
    """Return the wanted methods of a model in a dictionary, by name.

    Args:
        model: the loaded model.
        wanted: the names of the methods.
        model_name: the name of the model, for the message.

    Raises:
        ModelLoadError: the model lacks one of the methods, or it is not callable.
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

    A method without a Python signature is not checked. The deployment cannot set the first parameter of a method, which
    gets the data.

    Args:
        methods: the methods, by name.
        params: names of the parameters that the deployment sets.
        also: names that the methods accept in addition to those in their signatures. If empty, a method with
            ``**kwargs`` accepts every name. Otherwise ``**kwargs`` is ignored.

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
    """Return the parameters of a method, or an empty list if Python finds no signature, for example of a C function."""
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return []


class ImportPath:
    """The ``sys.path`` of a model, with the entries that the model has added for its own code.

    It is set only while the code of the model runs, so that the model does not change the imports of the worker.
    """

    def __init__(self) -> None:
        self._models: list[str] | None = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Use the ``sys.path`` of the model in the ``with`` block, and restore that of the worker afterwards.

        The first block begins with the ``sys.path`` of the worker. Changes that a block makes are kept for the next
        block, unless an exception is raised.
        """
        path, workers = sys.path, sys.path.copy()
        try:
            if self._models is not None:
                path[:] = self._models
            yield
            self._models = list(sys.path)
        finally:
            # MLflow replaces the list object itself, so the original object is restored, too.
            sys.path = path
            path[:] = workers
