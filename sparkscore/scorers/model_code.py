"""Call a model's own code: what it raises becomes a failure, what it imports stays its own (worker)."""

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
    "Save the model itself, and not what holds it, or give the deployment a scoring script that takes it out."
)


@contextmanager
def reporting(code: ErrorCode) -> Iterator[None]:
    """Turn whatever a model's library raises into a failure; sparkscore's own errors pass."""
    try:
        yield
    except (KeyboardInterrupt, SparkscoreError):
        raise
    # SystemExit included: a model that calls sys.exit() has failed its mini-batch, not ended the worker.
    except BaseException as error:  # noqa: BLE001 - model code may raise anything
        raise ScorerFailedError(describe_failure(error, code)) from None


def methods_of(model: object, wanted: Sequence[str], model_name: str) -> dict[str, Callable[..., Any]]:
    """Find the methods of a model that the deployment asks for.

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
    """Refuse parameters that a method does not have, as far as it says which it has.

    Args:
        methods: the methods by name.
        params: names of the deployment's parameters.
        also: names beside those in the signature; without any, a method with ``**kwargs`` takes all.

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
                what=f"'model.params' against the parameters of the model's {name}()",
                got=names(unknown),
                expected=names([*known, *also]),
                next_step="Correct 'model.params'.",
            )


def _parameters_of(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """Give the parameters; none where a function of C does not say."""
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return []


class ImportPath:
    """The entries of ``sys.path`` that a model adds for its own code, in effect only while that code runs."""

    def __init__(self) -> None:
        self._models: list[str] | None = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Give the model its import path, and take it back."""
        path, workers = sys.path, sys.path.copy()
        try:
            if self._models is not None:
                path[:] = self._models
            yield
            self._models = list(sys.path)
        finally:
            # MLflow puts another list in its place.
            sys.path = path
            path[:] = workers
