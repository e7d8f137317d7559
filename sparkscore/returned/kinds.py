"""Say what kind of value something is, for typing and for messages; runs on workers."""

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
MOMENT: Final = "moment"
MISSING: Final = "missing"
_MISSING_CLASSES: Final = (type(None), type(pd.NA), type(pd.NaT), type(np.ma.masked))

# The order matters: bool is an int, np.timedelta64 is an np.integer, datetime is a date, an IntEnum is an int.
_KIND_OF_CLASS: Final[tuple[tuple[tuple[type, ...], str], ...]] = (
    ((enum.Enum, np.timedelta64), OTHER),
    ((bool, np.bool_), BOOLEAN),
    ((int, np.integer), INTEGER),
    ((float, np.floating), FLOAT),
    ((Decimal,), DECIMAL),
    ((str,), STRING),
    ((bytes, bytearray, memoryview), BINARY),
    ((dt.datetime,), MOMENT),
    ((np.datetime64,), TIMESTAMP_NTZ),
    ((dt.date,), DATE),
    ((list, tuple, np.ndarray), ARRAY),
    ((dict,), DICT),
)

_WAYS_OUT: Final[tuple[tuple[tuple[type, ...], str], ...]] = (
    ((enum.Enum,), "Return its .value."),
    ((dt.timedelta, np.timedelta64), "Return a number: .total_seconds(), of a Series .dt.total_seconds()."),
    ((set, frozenset), "Return a list, in an order of your own: sorted(…)."),
    ((complex, np.complexfloating), "Return two columns, .real and .imag."),
    ((pd.Series, pd.Index), "Return a list for each element: .tolist()."),
    ((pd.DataFrame,), "Return one DataFrame: pd.concat(…)."),
    ((dt.time, uuid.UUID, PurePath, pd.Period, pd.Interval), "Return it as text: str(…), of a Series .astype(str)."),
)

# Weak: the classes of a scoring script are dropped with its deployment.
_known_classes: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for NULL: None, pd.NA, any NaT, NumPy's masked. NaN is a number, not missing."""
    if value is None or value is pd.NA or value is pd.NaT or value is np.ma.masked:
        return True
    return isinstance(value, (np.datetime64, np.timedelta64)) and bool(np.isnat(value))


def is_nan(value: Any) -> bool:
    """Tell whether a value is a floating NaN, which object columns of pandas use for a missing value."""
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def kind_of(value: Any) -> str:
    """Name the kind of a value that is not missing."""
    kind = kind_of_class(type(value))
    if kind == MOMENT:
        return TIMESTAMP_NTZ if value.utcoffset() is None else TIMESTAMP
    if kind == ARRAY and isinstance(value, np.ndarray) and value.ndim == 0:
        return OTHER
    return kind


def describe(value: Any) -> str:
    """Name a value's class for a message; never the value."""
    if is_missing(value):
        return "NULL"
    kind = kind_of_class(type(value))
    if kind == MOMENT:
        zone = "without" if value.utcoffset() is None else "with"
        return f"{class_name(value)} {zone} a time zone"
    if isinstance(value, np.ndarray):
        return f"numpy.ndarray of {value.ndim} dimensions"
    return class_name(value)


def way_out(value: Any) -> str:
    """Say what to return in the place of a value of a class that no column can hold."""
    found = next((advice for classes, advice in _WAYS_OUT if isinstance(value, classes)), None)
    return found or "Return numbers, texts, dates, or lists and dicts of these."


def class_name(value: Any) -> str:
    """Give the class as a reader would write it."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def kind_of_class(cls: type) -> str:
    """Name the kind of a class's values; a datetime's zone is its own affair, hence ``moment``."""
    kind = _known_classes.get(cls)
    if kind is None:
        kind = _known_classes[cls] = _find_kind(cls)
    return kind


def _find_kind(cls: type) -> str:
    if issubclass(cls, _MISSING_CLASSES):
        return MISSING
    return next((kind for classes, kind in _KIND_OF_CLASS if issubclass(cls, classes)), OTHER)
