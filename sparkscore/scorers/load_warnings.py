"""Take down what libraries warn of while a model is loaded, such as another version that saved it (worker)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sparkscore.redaction import redact

#: How each sentence begins.
LOADING: Final = "while the model was loaded: "
_MOST: Final = 5
_LONGEST: Final = 400
# What concerns who writes code, not who uses a model.
_FOR_PROGRAMMERS: Final = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@contextmanager
def noting_warnings() -> Iterator[list[str]]:
    """Take down what is warned of in the body, each once; it is shown as before, by the filters that there are.

    Filters and functions that the body itself sets stay set, as `warnings.catch_warnings` would not leave them.
    """
    before, found, told = warnings.showwarning, dict[str, None](), list[str]()

    def note(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, _FOR_PROGRAMMERS):
            found.setdefault(_sentence(message, category))
        before(message, category, *rest, **more)

    warnings.showwarning = note
    try:
        yield told
    finally:
        if warnings.showwarning is note:
            warnings.showwarning = before
        told += list(found)[:_MOST]
        if len(found) > _MOST:
            told.append(f"{LOADING}{len(found) - _MOST} more warnings, which are in the worker's log")


def _sentence(message: Warning | str, category: type[Warning]) -> str:
    try:
        text = " ".join(redact(str(message)).split())
    except Exception:  # noqa: BLE001 - a class of the user's own may raise anything here
        text = "(its text could not be read)"
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"{LOADING}{category.__name__}: {cut}".encode(errors="backslashreplace").decode()
