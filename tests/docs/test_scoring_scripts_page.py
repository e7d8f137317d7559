from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import sparkscore.scorers
from sparkscore.errors import OutputContractError
from sparkscore.returned import tabulate
from sparkscore.signature import parse_ddl, to_ddl

PAGE = "scoring-scripts.md"
NAMES = {"np": np, "pd": pd, "pa": pa, "Decimal": Decimal, "date": date, "datetime": datetime, "UTC": UTC}
Table = Callable[[str, str], list[list[str]]]


def value_of(expression: str) -> Any:
    return eval(expression, NAMES)  # noqa: S307 - the page is ours


def test_what_a_script_may_return_becomes_these_columns(read_table: Table) -> None:
    rows = read_table(PAGE, "returned")

    found = {returned: to_ddl(tabulate(value_of(returned)).table.schema) for returned, _ in rows}

    assert found == dict(rows)
    assert len(found) > 15


def test_what_does_not_fit_is_refused_like_this(read_table: Table) -> None:
    rows = read_table(PAGE, "refused")

    found = [(declared, returned, refusal_of(declared, returned)) for declared, returned, _ in rows]

    assert found == [tuple(row) for row in rows]
    assert len(found) > 15


def refusal_of(declared: str, returned: str) -> str:
    with pytest.raises(OutputContractError) as caught:
        tabulate(value_of(returned), parse_ddl(declared) if declared else None)
    return caught.value.code


def test_the_page_names_every_refusal_of_a_script() -> None:
    text = (Path(__file__).parents[2] / "docs" / PAGE).read_text(encoding="utf-8")
    package = Path(sparkscore.scorers.__file__).parent
    codes = {
        node.attr
        for file in package.glob("script*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("SCRIPT_")
    }

    assert codes
    assert {code for code in codes if f"`{code}`" not in text} == set()
