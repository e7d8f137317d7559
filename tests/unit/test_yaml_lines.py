"""Lines of a deployment that advice quotes are YAML, and hold what they are to hold."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.yaml_lines import yaml_list, yaml_schema, yaml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1) | st.sampled_from(
    [
        "the city",
        "no",
        "Null",
        "a: b",
        "- a",
        "a, b",
        "{x}",
        "`a b`",
        "1",
        "1_000",
        "1e3",
        "0x1",
        "~",
        "=",
        "<<",
        "it's",
        '"',
    ]
)


@given(TEXTS, TEXTS)
def test_a_mapping_of_texts_comes_back(old: str, new: str) -> None:
    assert yaml.safe_load(f"columns: {{{yaml_text(old)}: {yaml_text(new)}}}") == {"columns": {old: new}}


@given(st.lists(TEXTS))
def test_a_list_of_texts_comes_back(texts: list[str]) -> None:
    assert yaml.safe_load(f"input.columns: {yaml_list(texts)}") == {"input.columns": texts}


@given(
    st.sampled_from(["x double", "`a b` double, c int", "s struct<a:int>", "x int COMMENT 'a: b # c'", "`x: y` int"])
)
def test_a_schema_comes_back(ddl: str) -> None:
    assert yaml.safe_load(f"output.schema: {yaml_schema(ddl)}") == {"output.schema": ddl}
