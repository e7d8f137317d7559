from __future__ import annotations

from typing import Any

import pytest

from sparkscore.sinks.row_rules import RowRule, evaluated_rules, is_identity_without_values, rules_of


def column(name: str, kind: Any = "long", *, nullable: bool = True, about: Any = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": nullable, "metadata": about or {}}


def test_every_kind_of_rule_is_a_condition_over_rows() -> None:
    inner = {"type": "struct", "fields": [column("x y", nullable=False)]}
    columns = [
        column("a`b", nullable=False),
        column("deep", inner, nullable=False),
        column("code", "string", about={"__CHAR_VARCHAR_TYPE_STRING": "char(3)"}),
        column("twice", about={"delta.generationExpression": "a * 2"}),
        column("old", about={"delta.invariants": '{"expression": {"expression": "old > 3"}}'}),
        column("plain", about={"comment": "NOT NULL"}),
        column("list", {"type": "array", "elementType": "long", "containsNull": False}),
    ]

    rules = rules_of(columns, {"delta.constraints.low": "p < 5", "delta.appendOnly": "true"})

    assert [(rule.condition, rule.change) for rule in rules] == [
        ("p < 5", "DROP CONSTRAINT `low`"),
        ("`a``b` IS NOT NULL", "ALTER COLUMN `a``b` DROP NOT NULL"),
        ("`deep` IS NOT NULL", "ALTER COLUMN `deep` DROP NOT NULL"),
        ("`deep` IS NULL OR `deep`.`x y` IS NOT NULL", "ALTER COLUMN `deep`.`x y` DROP NOT NULL"),
        ("`code` IS NULL OR length(`code`) <= 3", ""),
        ("`twice` <=> (a * 2)", ""),
        ("old > 3", ""),
    ]


@pytest.mark.parametrize(
    ("condition", "unknown", "is_evaluated"),
    [
        ("id > 0", {"prediction"}, True),
        ("Prediction > 0", {"prediction"}, False),
        ("predictions > 0", {"prediction"}, True),
        ("`a``b` > 0", {"a`b"}, False),
        ("user = 'x'", {"user"}, False),
        ("`s.t`.u IS NULL", {"s.t"}, False),
        ("u.score > 1", {"u"}, False),
        ("length(name) > 1", set(), True),
    ],
)
def test_a_rule_is_evaluated_where_it_names_no_column_that_is_not_known_yet(
    condition: str, unknown: set[str], *, is_evaluated: bool
) -> None:
    assert bool(evaluated_rules([RowRule("r", condition)], unknown)) is is_evaluated


def test_only_an_identity_that_takes_no_values_is_one() -> None:
    always, by_default = ({"delta.identity.allowExplicitInsert": allowed} for allowed in (False, True))

    assert [is_identity_without_values(column("a", about=about)) for about in (always, by_default, {})] == [
        True,
        False,
        False,
    ]
