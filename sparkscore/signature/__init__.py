"""Parse and write Spark DDL, and match a model's inputs with the columns of the data.

Runs on the driver and the workers.
"""

from __future__ import annotations

from sparkscore.signature.ddl import parse_ddl
from sparkscore.signature.naming import to_ddl, type_name

__all__ = ["parse_ddl", "to_ddl", "type_name"]
