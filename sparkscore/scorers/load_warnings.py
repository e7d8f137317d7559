"""Collect the warnings that libraries issue while a model is loaded. Runs on the workers.

For example, scikit-learn warns if a different version saved the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sparkscore.redaction import redact

#: The prefix of each collected warning.
LOADING: Final = "while the model was loaded: "
_MOST: Final = 5
_LONGEST: Final = 400
# Warnings intended for programmers rather than for users of a model.
_FOR_PROGRAMMERS: Final = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@contextmanager
def noting_warnings() -> Iterator[list[str]]:
    """Collect the distinct messages of the warnings that are shown in the ``with`` block.

    The warnings are still shown. Warnings for programmers, such as `DeprecationWarning`, are not collected. Nor are
    warnings that Python's warning filters suppress. Unlike with `warnings.catch_warnings`, changes that the block makes
    to the warning filters are kept.

    Yields:
        a list that is empty until the block ends, normally or with an exception. It then contains the first five
        messages and, if there are more, a message with the number of the remaining ones.
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
    except Exception:  # noqa: BLE001 - a user-defined warning class may raise anything here
        text = "(its text could not be read)"
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"{LOADING}{category.__name__}: {cut}".encode(errors="backslashreplace").decode()
