from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparkscore.sql import SqlFunction

Make = Callable[..., SqlFunction]


def test_a_description_has_the_arguments_results_and_a_call(make: Make) -> None:
    function = make(
        "heart",
        name="heart-model",
        description="Risk of a patient",
        input={
            "schema": "age double NOT NULL COMMENT 'in years', `body height` decimal(4,1), tags array<string>, s string"
        },
        sql={"arguments": {"body height": {"default": 1.5, "comment": "it's in m"}, "s": {"default": "it's"}}},
        output={"schema": "risk double, why map<string,double>"},
    )

    assert function.describe().splitlines() == [
        "Function:      heart",
        "Comment:       Risk of a patient",
        "Scored by:     scoring script score.py",
        "Input:         age DOUBLE NOT NULL 'in years'",
        "               `body height` DECIMAL(4,1) DEFAULT 1.5 'it''s in m'",
        "               tags array<string>",
        "               s STRING DEFAULT 'it''s'",
        "Returns:       risk DOUBLE",
        "               why map<string,double>",
        "               error STRING",
        "               model_version STRING",
        "On error:      NULLs, and a text in the column error",
        "Deterministic: true",
        "Example:       SELECT heart(age => age, tags => tags).risk FROM …",
        "               SELECT heart_struct(struct(*)).risk FROM …",
        "               SELECT p.* FROM (SELECT heart(age => age, tags => tags) AS p FROM …)",
        "               SELECT * FROM heart_table(TABLE(…)) -- Spark 4.1 and later",
    ]


_STATEMENT = re.compile(
    r"CREATE OR REPLACE TEMPORARY FUNCTION heart_describe\(\) RETURNS STRING "
    r"COMMENT 'Describes the function heart' RETURN decode\(X'([0-9A-F]+)', 'UTF-8'\)"
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_query_can_read_the_description_whatever_is_in_it(make: Make, text: str) -> None:
    function = replace(make("heart", name=f"d{uuid.uuid4().hex}"), comment=text)

    (statement,) = function.statements()

    found = _STATEMENT.fullmatch(statement)
    assert found is not None
    assert bytes.fromhex(found[1]).decode() == function.describe()


def test_an_error_that_stops_the_query_is_described(make: Make) -> None:
    assert "On error:      stops the query" in make(sql={"on_error": "raise"}).describe()
