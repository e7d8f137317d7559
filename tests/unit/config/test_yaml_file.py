from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sparkscore.config.yaml_file import MAX_BYTES, MAX_DEPTH, parse_value, read_document
from sparkscore.errors import ConfigError

Write = Callable[[str], Path]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0755", "0755"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e9999", "1e9999"),
        ("12:30:00", "12:30:00"),
        ("2024-01-31", "2024-01-31"),
        ("9" * 30, "9" * 30),
        ("<<", "<<"),
        ("=", "="),
        ("'12'", "12"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("", None),
    ],
)
def test_plain_values_are_read_by_yaml_1_2(text: str, value: object) -> None:
    read = parse_value(text, ("description",))

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["1.10", "0755", "true", "2024-01-31", "12:30:00", "1e3"])
def test_an_environment_variable_stays_as_it_was_written(text: str, write: Write) -> None:
    document = read_document(write(f"environment_variables:\n  A: {text}\n"))

    assert document.tree == {"environment_variables": {"A": text}}


def test_every_key_and_list_entry_has_a_place(write: Write) -> None:
    document = read_document(write("name: a\ninput:\n  location:\n    - x\n    - y\n"))

    assert document.positions == {
        ("name",): (1, 1),
        ("input",): (2, 1),
        ("input", "location"): (3, 3),
        ("input", "location", 0): (4, 7),
        ("input", "location", 1): (5, 7),
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n", "\ufeff"])
def test_an_empty_file_holds_nothing(text: str, write: Write) -> None:
    assert read_document(write(text)).tree == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key(write: Write) -> None:
    assert read_document(write("\ufeffname: a")).tree == {"name": "a"}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("name: a\nname: b\n", "line 2, column 1", "key 'name' a second time"),
        ("input:\n  format: csv\n  'format': csv\n", "line 3, column 3", "key 'format' a second time"),
        ("a: &x 1\nb: 2\n", "line 1, column 4", "anchor '&x'"),
        ("b: *x\n", "line 1, column 4", "alias '*x'"),
        ("a: !!python/object:os.system x\n", "line 1, column 4", "tag"),
        ("a: !!str 1\n", "line 1, column 4", "tag"),
        ("a: !<tag:yaml.org,2002:int> x\n", "line 1, column 4", "tag"),
        ("a: ! 1\n", "line 1, column 4", "tag"),
        ("- a\n- b\n", "line 1, column 1", "a list"),
        ("text\n", "line 1, column 1", "a single value"),
        ("? [a, b]\n: 1\n", "line 1, column 3", "a list as a key"),
        ("a: [1\nb: 2\n", "line 2, column 2", "invalid YAML"),
        ("a: b: c\n", "line 1, column 5", "mapping values are not allowed here"),
        ("a:\n\tb: 1\n", "line 2, column 1", "cannot start any token"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1", "another document"),
        ('a: "\\ud800"\n', "line 1, column 4", "half of a surrogate pair"),
        ("a: \x01\n", "", "special characters are not allowed"),
        ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, "line 1, column", f"more than {MAX_DEPTH} levels"),
    ],
)
def test_what_is_not_accepted_is_named_with_its_place(text: str, place: str, words: str, write: Write) -> None:
    path = write(text)

    with pytest.raises(ConfigError) as caught:
        read_document(path)

    assert caught.value.code == "CONFIG_YAML"
    assert str(path) in str(caught.value)
    assert place in str(caught.value)
    assert words in str(caught.value)


def test_the_allowed_depth_is_read(write: Write) -> None:
    depth = MAX_DEPTH - 2

    assert read_document(write("a: " + "[" * depth + "]" * depth)).tree["a"] is not None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[CONFIG_FILE\].*'No such file or directory'.*Check the path"):
        read_document(tmp_path / "nothing.yml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[CONFIG_FILE\].*Is a directory"):
        read_document(tmp_path)


def test_a_path_that_no_file_can_have() -> None:
    with pytest.raises(ConfigError, match=r"\[CONFIG_FILE\].*null byte"):
        read_document(Path("a\0b"))


def test_a_file_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "deployment.yml"
    path.write_bytes("name: grün".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"\[CONFIG_FILE\].*byte 8 .*UTF-8"):
        read_document(path)


def test_a_large_file_is_not_read(write: Write) -> None:
    path = write("a: " + "x" * MAX_BYTES)

    with pytest.raises(ConfigError, match=r"\[CONFIG_FILE\].*at most 1000000 bytes"):
        read_document(path)


def test_a_long_option_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 1000000"):
        parse_value("x" * (MAX_BYTES + 1), ("name",))


# A number without a point, like 1e3, is a number in YAML 1.2 and here; PyYAML writes such a text without quotes.
_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8).filter(
    lambda text: not re.fullmatch(r"[-+]?[0-9]+[eE][-+]?[0-9]+", text)
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(_JSON)
def test_json_means_the_same_here(value: object) -> None:
    assert parse_value(json.dumps(value), ("tags",)) == value


@given(st.dictionaries(_TEXT, _JSON, max_size=3))
def test_what_pyyaml_writes_is_read(value: dict[str, object]) -> None:
    assert parse_value(yaml.safe_dump(value), ("tags",)) == value


@given(st.text(max_size=60) | st.text("[]{}:,-?&*!|>'\"%@`# \n\tab01", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = parse_value(text, ("tags",))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - both ends are fine, an error must say why
    else:
        json.dumps(value, allow_nan=False)
