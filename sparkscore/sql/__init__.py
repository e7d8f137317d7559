"""Make a model or a scoring script an SQL function, with which queries score rows. Used on the driver."""

from __future__ import annotations

from sparkscore.sql.function import SqlFunction, prepare_function
from sparkscore.sql.register import register_function

__all__ = ["SqlFunction", "prepare_function", "register_function"]
