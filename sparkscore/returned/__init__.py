"""Convert what ``run()`` returned to typed columns, without changing any of the values. Runs on the workers."""

from __future__ import annotations

from sparkscore.returned.coercion import coerce
from sparkscore.returned.inference import infer_type
from sparkscore.returned.table import NamedColumns, Returned, count_elements, tabulate

__all__ = ["NamedColumns", "Returned", "coerce", "count_elements", "infer_type", "tabulate"]
