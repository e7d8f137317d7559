"""Parse a strict subset of YAML, and record the line and column of each key. Runs on the driver.

Some YAML features are harmful in a settings file: aliases can expand to gigabytes, a duplicate key silently replaces
the first one, ``no`` becomes false, and ``12:30:00`` becomes 45000. Therefore, anchors, aliases, tags, duplicate keys,
deep nesting and large files are errors. Unquoted values follow the core schema of YAML 1.2, except that unusual
numbers, such as 0755, remain strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError

KeyPath: TypeAlias = tuple[str | int, ...]

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 50

# Below these keys, values remain strings as written: version 1.10 is not version 1.1. A star stands for any key.
_AS_WRITTEN: Final[tuple[KeyPath, ...]] = (
    ("environment_variables",),
    ("settings", "environment_variables"),
    ("model", "version"),
    ("models", "*", "version"),
    ("environment", "version"),
    ("code_configuration", "arguments"),
    ("input", "options"),
)

_NULL: Final = "tag:yaml.org,2002:null"
_BOOL: Final = "tag:yaml.org,2002:bool"
_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
# No leading zeros and at most 18 digits. Other numbers, such as 0755, remain strings.
_INTEGER: Final = re.compile(r"^[-+]?(?:0|[1-9][0-9]{0,17})$")
_DECIMAL: Final = re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]{1,4})$")


@dataclass(frozen=True)
class Document:
    """The contents of a YAML file.

    Attributes:
        tree: the values as nested dictionaries whose keys are strings.
        positions: line and column of each key and list item, counted from 1.
    """

    tree: dict[str, object] = field(default_factory=dict)
    positions: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that raises an error for anchors, aliases, tags and deep nesting."""

    yaml_implicit_resolvers: Final = {}  # type: ignore[misc] # those of SafeLoader follow YAML 1.1; filled below
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next YAML node. Raise `_YamlError` for an alias, an anchor, a tag or excessive nesting."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call] # PyYAML's stubs leave it out
        if isinstance(event, yaml.AliasEvent):
            raise _YamlError(f"alias '*{event.anchor}'", "the value itself", event.start_mark)
        if getattr(event, "anchor", None) is not None:
            raise _YamlError(f"anchor '&{event.anchor}'", "no anchors", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _YamlError(f"tag '{event.tag}'", "a value without a tag; put a text in quotes", event.start_mark)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _YamlError(f"more than {MAX_DEPTH} levels", f"at most {MAX_DEPTH}", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_StrictLoader.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_StrictLoader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_StrictLoader.add_implicit_resolver(_INT, _INTEGER, list("-+0123456789"))
_StrictLoader.add_implicit_resolver(_FLOAT, _DECIMAL, list("-+.0123456789"))


class _YamlError(Exception):
    def __init__(self, got: str, expected: str, mark: Any) -> None:
        super().__init__(got)
        self.got = got
        self.expected = expected
        self.mark = mark


def read_document(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping. For an empty file, return an empty `Document`.

    Raises:
        ConfigError: the file cannot be read, is too large or is not UTF-8 (code ``CONFIG_FILE``), or it is not YAML
            that sparkscore accepts (``CONFIG_YAML``). The message contains the line and column, if known.
    """
    text = _read_text(path)
    try:
        return _document(_compose(text))
    except _YamlError as problem:
        raise _yaml_error(path, problem) from problem.__cause__


def parse_value(text: str, key: KeyPath) -> object:
    """Parse an option's value as YAML: a number, a boolean, a string, ``[a, b]`` or ``{a: b}``.

    An empty value becomes None, like ``null``.

    Args:
        text: the value as the user wrote it.
        key: the parts of the setting's key. For some keys, such as ``model.version``, numbers remain strings.

    Raises:
        ValueError: the value is too long, or is not YAML that sparkscore accepts. The message says why.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"got {len(text)} characters, expected at most {MAX_BYTES}")
    try:
        node = _compose(text)
        return None if node is None else _value(node, key, {})
    except _YamlError as problem:
        raise ValueError(problem.got) from problem


def _document(node: yaml.Node | None) -> Document:
    if node is None or node.tag == _NULL:
        return Document()
    if not isinstance(node, yaml.MappingNode):
        raise _YamlError(_type_of(node), "keys with values (name: heart) at the top level", node.start_mark)
    positions: dict[KeyPath, tuple[int, int]] = {}
    return Document(dict(_entries(node, (), positions)), positions)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _file_error(path, f"'{reason}'", "a file that can be read", "Check the path.") from error
    if len(content) > MAX_BYTES:
        raise _file_error(path, "a larger file", f"at most {MAX_BYTES} bytes", "Check that this is the file you mean.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {error.start} that is not UTF-8"
        raise _file_error(path, found, "a text file in UTF-8", "Save the file as UTF-8.") from error


def _file_error(path: Path, got: str, expected: str, next_step: str) -> ConfigError:
    what = f"deployment file '{path}' cannot be read"
    return ConfigError(code=ErrorCode.CONFIG_FILE, what=what, got=got, expected=expected, next_step=next_step)


def _compose(text: str) -> yaml.Node | None:
    try:
        return _StrictLoader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _YamlError(f"invalid YAML ({error.problem or error.context})", "valid YAML", mark) from error
    except yaml.YAMLError as error:  # a character that is not allowed in YAML: PyYAML's reader gives no line
        raise _YamlError(f"invalid YAML ({str(error).splitlines()[0]})", "valid YAML", None) from error


def _yaml_error(path: Path, problem: _YamlError) -> ConfigError:
    position = "" if problem.mark is None else f", line {problem.mark.line + 1}, column {problem.mark.column + 1}"
    return ConfigError(
        code=ErrorCode.CONFIG_YAML,
        what=f"deployment file '{path}'{position} is not accepted",
        got=problem.got,
        expected=problem.expected,
        next_step="Correct that line.",
    )


def _type_of(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"


def _value(node: yaml.Node, path: KeyPath, positions: dict[KeyPath, tuple[int, int]]) -> object:
    if isinstance(node, yaml.MappingNode):
        return dict(_entries(node, path, positions))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            positions[*path, index] = _position(item)
        return [_value(item, (*path, index), positions) for index, item in enumerate(node.value)]
    return _scalar(node, path)


def _entries(
    node: yaml.MappingNode, path: KeyPath, positions: dict[KeyPath, tuple[int, int]]
) -> Iterator[tuple[str, object]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _YamlError(f"{_type_of(key_node)} as a key", "a plain text as key", key_node.start_mark)
        key = _text(key_node)
        if key in seen:
            raise _YamlError(f"key '{key}' a second time", "every key once", key_node.start_mark)
        seen.add(key)
        positions[*path, key] = _position(key_node)
        yield key, _value(value_node, (*path, key), positions)


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _text(node: yaml.Node) -> str:
    """Return the string in a scalar node, with escaped surrogate pairs merged into characters.

    Raises:
        _YamlError: the string contains an unpaired surrogate.
    """
    text = str(node.value)  # PyYAML does not merge surrogate pairs.
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise _YamlError("half of a surrogate pair", "whole characters", node.start_mark) from error


def _is_below(path: KeyPath, prefix: KeyPath) -> bool:
    """Return whether a key equals `prefix` or is nested below it.

    A ``*`` in `prefix` stands for any one name: ``a.*.c`` matches ``a.b.c`` and ``a.b.c.d``.
    """
    return len(path) >= len(prefix) and all(part in {"*", key} for key, part in zip(path, prefix, strict=False))


def _scalar(node: yaml.Node, path: KeyPath) -> object:
    text = _text(node)
    if node.tag == _NULL:
        return None
    if any(_is_below(path, prefix) for prefix in _AS_WRITTEN):
        return text
    if node.tag == _BOOL:
        return text.lower() == "true"
    if node.tag == _INT:
        return int(text)
    if node.tag == _FLOAT and math.isfinite(float(text)):
        return float(text)
    return text
