"""Classify Python values by type, and describe them in error messages. Runs on the workers."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

BOOLEAN: Final = "boolean"
INTEGER: Final = "integer"
FLOAT: Final = "float"
DECIMAL: Final = "decimal"
STRING: Final = "string"
BINARY: Final = "binary"
DATE: Final = "date"
TIMESTAMP: Final = "timestamp"
TIMESTAMP_NTZ: Final = "timestamp_ntz"
ARRAY: Final = "array"
DICT: Final = "dict"
OTHER: Final = "other"
#: The type of the class `datetime.datetime`. Only a value of this class shows whether it has a time zone.
DATETIME: Final = "datetime"
MISSING: Final = "missing"
_MISSING_CLASSES: Final = (type(None), type(pd.NA), type(pd.NaT), type(np.ma.masked))

# The order matters: bool is an int, np.timedelta64 is an np.integer, datetime is a date, an IntEnum is an int.
_TYPE_OF_CLASS: Final[tuple[tuple[tuple[type, ...], str], ...]] = (
    ((enum.Enum, np.timedelta64), OTHER),
    ((bool, np.bool_), BOOLEAN),
    ((int, np.integer), INTEGER),
    ((float, np.floating), FLOAT),
    ((Decimal,), DECIMAL),
    ((str,), STRING),
    ((bytes, bytearray, memoryview), BINARY),
    ((dt.datetime,), DATETIME),
    ((np.datetime64,), TIMESTAMP_NTZ),
    ((dt.date,), DATE),
    ((list, tuple, np.ndarray), ARRAY),
    ((dict,), DICT),
)

_ADVICE: Final[tuple[tuple[tuple[type, ...], str], ...]] = (
    ((enum.Enum,), "Return its .value."),
    ((dt.timedelta, np.timedelta64), "Return a number: .total_seconds(), of a Series .dt.total_seconds()."),
    ((set, frozenset), "Return a list in a fixed order: sorted(…)."),
    ((complex, np.complexfloating), "Return two columns, .real and .imag."),
    ((pd.Series, pd.Index), "Return a list for each element: .tolist()."),
    ((pd.DataFrame,), "Return one DataFrame: pd.concat(…)."),
    ((dt.time, uuid.UUID, PurePath, pd.Period, pd.Interval), "Return it as text: str(…), of a Series .astype(str)."),
)

#: Python's own classes whose values are neither arrays nor, apart from None, missing. Subclasses do not count.
PLAIN_CLASSES: Final = frozenset({bool, bytes, dict, float, int, list, str, tuple, type(None)})

# The references are weak, so that a scoring script's classes can be freed with its deployment.
_known_classes: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def is_missing(value: Any) -> bool:
    """Return whether a value stands for NULL: None, pd.NA, any NaT, or np.ma.masked. NaN is not missing."""
    if value is None or value is pd.NA or value is pd.NaT or value is np.ma.masked:
        return True
    return isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))


def is_nan(value: Any) -> bool:
    """Return whether a value is a float NaN, which stands for a missing value in pandas object columns."""
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def value_type(value: Any) -> str:
    """Return the type of a non-missing value, as one of this module's constants, for example ``BOOLEAN``."""
    found = value_type_of_class(type(value))
    if found == DATETIME:
        return TIMESTAMP_NTZ if value.utcoffset() is None else TIMESTAMP
    if found == ARRAY and isinstance(value, np.ndarray) and value.ndim == 0:
        return OTHER
    return found


def describe(value: Any) -> str:
    """Return a phrase that describes a value in error messages: ``NULL``, or the value's class.

    For a NumPy array, the phrase also gives the number of dimensions. For a ``datetime.datetime``, it says whether
    there is a time zone. The phrase never contains the value itself.
    """
    if is_missing(value):
        return "NULL"
    if value_type_of_class(type(value)) == DATETIME:
        zone = "without" if value.utcoffset() is None else "with"
        return f"{class_name(value)} {zone} a time zone"
    if isinstance(value, np.ndarray):
        return f"numpy.ndarray of {value.ndim} dimensions"
    return class_name(value)


def advice_for(value: Any) -> str:
    """Return a hint for the error message that is shown if ``run()`` returns a value that no column can hold."""
    found = next((advice for classes, advice in _ADVICE if isinstance(value, classes)), None)
    return found or "Return numbers, texts, dates, or lists and dicts of these."


def class_name(value: Any) -> str:
    """Return the qualified name of a value's class, with its module unless that is ``builtins``."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def value_type_of_class(cls: type) -> str:
    """Return the type of the values of a class, as one of this module's constants, for example ``BOOLEAN``.

    Datetime classes always have the type ``DATETIME``, because only a value shows whether there is a time zone.
    """
    found = _known_classes.get(cls)
    if found is None:
        found = _known_classes[cls] = _find_type(cls)
    return found


def _find_type(cls: type) -> str:
    if issubclass(cls, _MISSING_CLASSES):
        return MISSING
    return next((found for classes, found in _TYPE_OF_CLASS if issubclass(cls, classes)), OTHER)
