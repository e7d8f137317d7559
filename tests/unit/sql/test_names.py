from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.sql.names import check_name, name_of_function


@given(st.text())
def test_a_name_that_is_made_has_letters_digits_and_underscores(text: str) -> None:
    made = name_of_function(text)

    assert made == "" or made.replace("_", "a").isalnum()
    assert made.isascii()


@pytest.mark.parametrize("name", ["predict_heart", "_f", "F2"])
def test_plain_names_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("heart-model", "heart_model"), ("2nd", "score_2nd"), ("", "score"), ("case", "score_case"), ("SELECT", "score_"),
     ("a`b; drop table x", "a_b_drop_table_x")],
)  # fmt: skip
def test_other_names_are_refused_with_one_that_is_taken(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"such as '{near}") as refused:
        check_name(name)

    assert refused.value.code == ErrorCode.SQL_NAME
