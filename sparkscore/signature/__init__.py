"""The columns of models and results: read and write Spark DDL, match a model's inputs (driver and worker)."""

from __future__ import annotations

from sparkscore.signature.ddl import parse_ddl
from sparkscore.signature.naming import to_ddl, type_name

__all__ = ["parse_ddl", "to_ddl", "type_name"]
