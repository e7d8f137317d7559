"""Tell which values a child process can send to the worker as they are. Runs in child processes."""

from __future__ import annotations

from types import NoneType
from typing import Final

_SIMPLE: Final = frozenset({NoneType, bool, int, float, str})
# A table is smaller than more values than these, and takes less time.
_MOST: Final = 256


def is_plain(returned: object) -> bool:
    """Return whether a value is a short list of plain numbers, strings and Nones, or of dictionaries or rows of them.

    Such a value is the same in another process, to the bit. It has no methods of the user's code, since instances of
    subclasses are not plain.
    """
    if type(returned) is not list or len(returned) > _MOST:
        return False
    return all(type(element) in _SIMPLE or _is_plain_row(element) for element in returned)


def _is_plain_row(element: object) -> bool:
    if type(element) is dict:
        return len(element) <= _MOST and {*map(type, element)} <= {str} and {*map(type, element.values())} <= _SIMPLE
    if type(element) is list or type(element) is tuple:
        return len(element) <= _MOST and {*map(type, element)} <= _SIMPLE
    return False
