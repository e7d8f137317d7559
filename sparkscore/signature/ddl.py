"""Parse Spark DDL into Arrow schemas, without Spark. Runs on the driver and the workers.

Grammar: columns ``name[:] type [NOT NULL] [COMMENT 'text']``, separated by commas, and the same inside ``struct<…>``.
Source: Spark's ``SqlBaseParser.g4``, rules ``colTypeList``, ``complexColTypeList`` and ``dataType``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError
from sparkscore.signature.lexer import END, Token, tokenize, unquote
from sparkscore.signature.naming import MAX_DECIMAL_DIGITS, SCALAR_NAMES
from sparkscore.signature.same_name import keys_of

MAX_DEPTH: Final = 50

_ALIASES: Final = {
    "byte": "tinyint",
    "short": "smallint",
    "integer": "int",
    "long": "bigint",
    "real": "float",
    "timestamp_ltz": "timestamp",
}
_SCALARS: Final = {name: type_ for type_, name in SCALAR_NAMES.items()}
_DECIMALS: Final = frozenset({"decimal", "dec", "numeric"})
_NESTED: Final = frozenset({"array", "map", "struct"})
_REFUSED: Final = {
    "void": "a column without a type cannot be stored",
    "null": "a column without a type cannot be stored",
    "interval": "intervals cannot be stored in Parquet",
    "variant": "variants do not pass through Arrow; use string",
    "object": "objects are private to Spark",
    "char": "Arrow has no fixed length; use string",
    "character": "Arrow has no fixed length; use string",
    "varchar": "Arrow has no length limit; use string",
    "time": "a time of day cannot be stored by Delta; use string or bigint",
    "geometry": "Arrow has no geometry; use binary (WKB)",
    "geography": "Arrow has no geography; use binary (WKB)",
}
#: Types and keywords that `parse_ddl` rejects but Spark's own parser may accept.
OF_SPARK_ONLY: Final = frozenset({*_REFUSED, "collate", "default", "generated"})
# Words that Spark's lexer reads as numbers, not as names, such as 12, 1e5, 1L and 2D.
_NUMBER: Final = re.compile(r"[0-9]+(e[0-9]+)?(l|s|y|d|f|bd)?", re.IGNORECASE)
_KNOWN: Final = (*_SCALARS, *_ALIASES, *_DECIMALS, *_NESTED)


def parse_ddl(ddl: str, setting: str = "output.schema", code: ErrorCode = ErrorCode.OUTPUT_SCHEMA) -> pa.Schema:
    """Parse a schema written as Spark DDL into an Arrow schema.

    ``NOT NULL`` becomes ``nullable=False``, and a ``COMMENT`` is stored under ``comment`` in the field's metadata. If
    the string is a single ``struct<…>`` without a column name, its fields become the columns.

    Args:
        ddl: the schema, for example ``id bigint, x double``.
        setting: the setting that contains the schema, for error messages.
        code: the error code for a `ConfigError`.

    Raises:
        ConfigError: the schema is not valid DDL, or has a type that is not supported. The message gives the position of
            the error.

    >>> parse_ddl("prediction double, probs array<double>").field("probs").type.value_type
    DataType(double)
    """
    return pa.schema(_Parser(tokenize(ddl, setting, code), setting, code).schema())


@dataclass
class _Parser:
    """A recursive-descent parser for a list of tokens that ends with END."""

    tokens: list[Token]
    setting: str
    code: ErrorCode
    next_index: int = 0
    depth: int = 0

    def schema(self) -> list[pa.Field]:
        if self._peek().type == END:
            self._fail("a text without columns", "at least one column")
        fields = list(self._type()) if self._is_lone_struct() else self._fields()
        if self._peek().type != END:
            self._fail(self._peek().shown, "a comma or the end")
        return fields

    def _is_lone_struct(self) -> bool:
        first, second = self.tokens[0], self.tokens[min(1, len(self.tokens) - 1)]
        return first.is_word("struct") and second.text == "<"

    def _fields(self) -> list[pa.Field]:
        fields = [self._field()]
        seen = set(keys_of(fields[0].name))
        while self._accept(","):
            start = self._peek()
            field = self._field()
            if seen & keys_of(field.name):
                self._fail(f"column '{field.name}' twice (Spark ignores case)", "each name once", start)
            seen |= keys_of(field.name)
            fields.append(field)
        return fields

    def _field(self) -> pa.Field:
        name = self._name()
        self._accept(":")
        type_ = self._type()
        nullable, comment = self._options()
        return pa.field(name, type_, nullable=nullable, metadata=None if comment is None else {"comment": comment})

    def _options(self) -> tuple[bool, str | None]:
        nullable = not self._accept_word("not")
        if not nullable and not self._accept_word("null"):
            self._fail(self._peek().shown, "NULL after NOT")
        comment = self._comment() if self._accept_word("comment") else None
        if self._peek().type == "word":
            self._fail(self._peek().shown, "NOT NULL, then COMMENT, then a comma or the end")
        return nullable, comment

    def _comment(self) -> str:
        token = self._take()
        if token.type != "text":
            self._fail(token.shown, "the comment in quotes", token)
        try:
            return unquote(token.text)
        except ValueError:
            self._fail(token.shown, "a comment in which each escape is a Unicode character", token)

    def _name(self) -> str:
        token = self._take()
        if token.type == "quoted" and len(token.text) > len("``"):
            return token.text[1:-1].replace("``", "`")
        if token.type != "word" or _NUMBER.fullmatch(token.text):
            self._fail(token.shown, "a column name (in backticks unless it has letters, digits and _ only)", token)
        return token.text

    def _type(self) -> pa.DataType:
        token = self._take()
        if token.type != "word":
            self._fail(token.shown, "a type", token)
        name = _ALIASES.get(token.text.lower(), token.text.lower())
        if name in _NESTED:
            return self._nested(name)
        if name in _DECIMALS:
            return self._decimal(token)
        if name not in _SCALARS:
            self._fail_type(name, token)
        return _SCALARS[name]

    def _nested(self, name: str) -> pa.DataType:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"types nested more than {MAX_DEPTH} deep", "fewer levels")
        readers: dict[str, Callable[[], pa.DataType]] = {"array": self._array, "map": self._map, "struct": self._struct}
        self._expect("<")
        type_ = readers[name]()
        self.depth -= 1
        return type_

    def _array(self) -> pa.DataType:
        element = self._type()
        self._expect(">")
        return pa.list_(pa.field("element", element))

    def _map(self) -> pa.DataType:
        key = self._type()
        self._expect(",")
        value = self._type()
        self._expect(">")
        return pa.map_(key, value)

    def _struct(self) -> pa.DataType:
        if self._accept(">"):
            self._fail("a struct without fields", "at least one field (Parquet cannot store an empty struct)")
        fields = self._fields()
        self._expect(">")
        return pa.struct(fields)

    def _decimal(self, token: Token) -> pa.DataType:
        precision, scale = 10, 0
        if self._accept("("):
            precision = self._number()
            if self._accept(","):
                scale = self._number()
            self._expect(")")
        if not 0 < precision <= MAX_DECIMAL_DIGITS or scale > precision:
            self._fail(f"decimal({precision},{scale})", "1 to 38 digits, at most all of them decimals", token)
        return pa.decimal128(precision, scale)

    def _number(self) -> int:
        token = self._take()
        if not re.fullmatch(r"[0-9]{1,3}", token.text):
            self._fail(token.shown, "a whole number of digits", token)
        return int(token.text)

    def _peek(self) -> Token:
        return self.tokens[self.next_index]

    def _take(self) -> Token:
        token = self._peek()
        if token.type != END:
            self.next_index += 1
        return token

    def _accept(self, character: str) -> bool:
        found = self._peek().type == "punctuation" and self._peek().text == character
        self.next_index += found
        return found

    def _accept_word(self, word: str) -> bool:
        found = self._peek().is_word(word)
        self.next_index += found
        return found

    def _expect(self, character: str) -> None:
        if not self._accept(character):
            self._fail(self._peek().shown, f"'{character}'")

    def _fail_type(self, name: str, token: Token) -> NoReturn:
        if name in _REFUSED:
            self._fail(f"type {name} ({_REFUSED[name]})", "a type that a Parquet or Delta table can hold", token)
        near = difflib.get_close_matches(name, _KNOWN, n=1)
        hint = f"a Spark type, perhaps '{near[0]}'" if near else "a Spark type such as bigint, double, string"
        self._fail(token.shown, hint, token)

    def _fail(self, got: str, expected: str, token: Token | None = None) -> NoReturn:
        position = (token or self._peek()).start + 1
        raise ConfigError(
            code=self.code,
            what=f"{self.setting} at character {position}",
            got=got,
            expected=expected,
            next_step="Write the schema as Spark DDL, for example: prediction double, probs array<double>.",
        )
