"""Parse and write Spark DDL, and match a model's inputs with the columns of the data (driver and worker)."""

from __future__ import annotations

from sparkscore.signature.ddl import parse_ddl
from sparkscore.signature.naming import to_ddl, type_name

__all__ = ["parse_ddl", "to_ddl", "type_name"]
