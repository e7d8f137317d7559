from __future__ import annotations

import pyarrow as pa
import pytest

from sparkscore.config import Deployment
from sparkscore.errors import ConfigError, SourceSchemaError
from sparkscore.run.columns import decide_columns
from sparkscore.signature import parse_ddl
from sparkscore.signature.same_name import doubled_names
from sparkscore.sources.agreement import check_column_names
from sparkscore.worker import LineageValues

MIXED_UP = [
    ("id", "ID"),
    ("i", "\u0131"),
    ("I", "\u0131"),
    ("i", "\u0130"),
    ("i\u0307", "\u0130"),
    ("s", "\u017f"),
    ("S", "\u017f"),
    ("k", "K"),
    ("\u00e5", "\u00c5"),
    ("\u00df", "\u1e9e"),
    ("\u03c3", "\u03c2"),
    ("\u1fb3", "\u1fbc"),
    ("\u01c6", "\u01c5"),
    ("\U00010400", "\U00010428"),
    ("\u00b5", "\u03bc"),
    ("fi\u017fh", "FISH"),
]
APART = [
    ("id", "idx"),
    ("\u00df", "ss"),
    ("\ufb01", "fi"),
    ("\u00e9", "e"),
    ("\u00e9", "e\u0301"),
    ("\u00e4", "a"),
    ("\u041e", "O"),
    ("1", "\uff11"),
]


@pytest.mark.parametrize(("one", "other"), MIXED_UP)
def test_names_that_java_takes_for_one_are_found(one: str, other: str) -> None:
    assert doubled_names([one, "else", other]) == [one, other]


@pytest.mark.parametrize(("one", "other"), APART)
def test_names_that_java_tells_apart_are_none(one: str, other: str) -> None:
    assert doubled_names([one, other]) == []


@pytest.mark.parametrize(("one", "other"), MIXED_UP)
def test_columns_of_the_input_and_of_declared_types_are_refused_by_name(one: str, other: str) -> None:
    with pytest.raises(SourceSchemaError, match="INPUT_COLUMN_NAMES") as caught:
        check_column_names([one, "else", other], "CSV")
    assert one in str(caught.value)
    assert other in str(caught.value)
    with pytest.raises(ConfigError, match=f"column '{other}' twice"):
        parse_ddl(f"`{one}` bigint, `{other}` bigint")


@pytest.mark.parametrize(("one", "other"), MIXED_UP)
def test_a_prediction_beside_another_or_a_renamed_column_is_refused_by_name(one: str, other: str) -> None:
    lineage = LineageValues("run", None, None)
    deployment = Deployment.model_validate({"columns": {"model_name": other}})

    with pytest.raises(ConfigError, match=f"COLUMN_CLASH.*'{other}'"):
        decide_columns(deployment, pa.schema([(one, pa.int64())]), (), None, lineage)


@pytest.mark.parametrize(("one", "other"), APART)
def test_other_columns_stand_side_by_side(one: str, other: str) -> None:
    check_column_names([one, other], "CSV")
    assert parse_ddl(f"`{one}` bigint, `{other}` bigint").names == [one, other]
