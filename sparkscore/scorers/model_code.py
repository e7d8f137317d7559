"""Call a model's own code: what it raises becomes a failure, what it imports stays its own (worker)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ModelLoadError, SparkscoreError, names
from sparkscore.outcome import describe_failure
from sparkscore.scorers.failed import ScorerFailedError


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
            expected=names(known),
            next_step="Correct 'model.predict_fn'.",
        )
    return {name: method for name, method in found.items() if method is not None}


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


def forget_modules(folder: Path) -> None:
    """Forget the modules that were imported from a model's folder: another model may have some of the same names."""
    for name, module in list(sys.modules.items()):
        # Not getattr(): a module that loads itself late would do so here.
        known = getattr(module, "__dict__", {})
        places = [place for place in (known.get("__file__"), *known.get("__path__", ())) if isinstance(place, str)]
        if any(Path(place).is_relative_to(folder) for place in places):
            del sys.modules[name]
