"""The columns of a result: their types as Spark DDL, and values turned into them exactly; runs on workers."""

from __future__ import annotations

from sparkscore.signature.coercion import coerce
from sparkscore.signature.ddl import parse_ddl
from sparkscore.signature.inference import infer_type
from sparkscore.signature.naming import to_ddl, type_name
from sparkscore.signature.returned import NamedColumns, Returned, count_elements, tabulate

__all__ = [
    "NamedColumns",
    "Returned",
    "coerce",
    "count_elements",
    "infer_type",
    "parse_ddl",
    "tabulate",
    "to_ddl",
    "type_name",
]
