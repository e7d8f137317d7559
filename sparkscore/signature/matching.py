"""Match a model's inputs with the columns of the input, before anything is scored (driver)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError, names
from sparkscore.signature.model_signature import ColumnInput, Feed, ModelInput, TensorInput
from sparkscore.signature.naming import type_name
from sparkscore.signature.widening import is_checked, is_exact, is_of_kind, is_rounded, without_absent
from sparkscore.yaml_lines import yaml_list

_LISTED: Final = 10
_NAMED: Final = 3
_UNNAMED: Final = "input"
_ROUND: Final = "model.round_inputs: true"
_NULL_TEXT_ADVICE: Final = (
    "A tensor of texts has no NULL. Fill the NULLs with the text that stood for them in training, or tolerate such "
    "rows with 'settings.error_threshold'."
)
_NULL_ADVICE: Final = (
    "Fill the NULLs, use a model that takes doubles there, or tolerate such rows with 'settings.error_threshold'."
)


def match_inputs(
    inputs: Sequence[ModelInput],
    columns: pa.Schema | None,
    chosen: Mapping[str, Sequence[str]],
    *,
    rounds: bool,
    order_doubt: str = "",
) -> tuple[Feed, ...]:
    """Decide which columns each input of the model gets.

    Columns are matched by exact name, or by position where the signature has no names. A tensor gets the columns that
    are chosen for it, the column of its name, or, as the only input, all columns. Columns that the model does not ask
    for are not given to it. Types are widened where that is exact.

    Args:
        inputs: what the model takes.
        columns: the input's columns; None where the items are files.
        chosen: columns by the name of the model's input; ``input`` stands for one that has no name.
        rounds: whether numbers may be rounded to the model's floats.
        order_doubt: why the order of the columns is not known, so that none may be taken by position.

    Returns:
        the model's inputs in their order; optional ones that the input does not have are left out.

    Raises:
        SignatureMismatchError: with every column that does not fit: what it is and what the model expects.
    """
    matcher = _Matcher(columns or pa.schema([]), order_doubt, rounds=rounds)
    matcher.check_chosen(chosen, inputs)
    if columns is None:
        feeds = [_feed_of_files(inputs)]
    elif all(isinstance(one, ColumnInput) and one.name is None for one in inputs):
        feeds = matcher.by_position(inputs, chosen.get(_UNNAMED))
    else:
        feeds = [feed for one in inputs if (feed := matcher.feed(one, chosen, is_only=len(inputs) == 1)) is not None]
    matcher.refuse_problems()
    return tuple(feeds)


def order_advice(columns: Sequence[str]) -> str:
    """Give the line that puts columns in an order."""
    return f"Name the columns in the model's order: 'input.columns: {yaml_list(columns)}'."


def describe_feeds(feeds: Sequence[Feed]) -> list[str]:
    """Write where the model's inputs come from: a line each, one for all columns of a type that go by name."""
    by_type: dict[str, list[str]] = {}
    lines = []
    for feed in feeds:
        if feed.shape is None and feed.columns == (feed.name,):
            by_type.setdefault(_type_text(feed.type), []).append(str(feed.name))
        else:
            lines.append(f"{_input_text(feed)} <- {_columns_text(feed.columns)}")
    return [*(f"{kind} {_columns_text(found)}, by name" for kind, found in by_type.items()), *lines]


def columns_without_null(feeds: Sequence[Feed]) -> dict[str, pa.DataType]:
    """Name the columns in which the model has no way to take a NULL, with the type that they become."""
    return {
        column: feed.type for feed in feeds if feed.type is not None and _has_no_null(feed) for column in feed.columns
    }


def refuse_known_nulls(feeds: Sequence[Feed], counts: Mapping[str, int]) -> None:
    """Refuse NULLs that are known before anything is scored.

    Args:
        feeds: the model's inputs.
        counts: number of NULLs by column.

    Raises:
        SignatureMismatchError: with every such column.
    """
    wanted = columns_without_null(feeds)
    problems = [
        f"column '{column}': got {counts[column]:,} NULLs, expected {_type_text(kind)} without NULL"
        for column, kind in wanted.items()
        if counts.get(column)
    ]
    if problems:
        are_texts = all(is_of_kind(kind, "text") for column, kind in wanted.items() if counts.get(column))
        raise _mismatch(problems, _NULL_TEXT_ADVICE if are_texts else _NULL_ADVICE)


class _Matcher:
    """The columns of an input, and what is wrong with them so far."""

    def __init__(self, columns: pa.Schema, order_doubt: str, *, rounds: bool) -> None:
        self._columns = columns
        self._order_doubt = order_doubt
        self._rounds = rounds
        self._problems: list[str] = []
        self._advice = "Correct the input, or cast its columns."

    def check_chosen(self, chosen: Mapping[str, Sequence[str]], inputs: Sequence[ModelInput]) -> None:
        known = {one.name or _UNNAMED for one in inputs}
        if unknown := set(chosen) - known:
            self._problems.append(f"'model.inputs' names {names(unknown)}, the model has {names(known)}")

    def by_position(self, inputs: Sequence[ModelInput], wanted: Sequence[str] | None) -> list[Feed]:
        found = list(wanted or self._columns.names)
        if missing := set(found) - set(self._columns.names):
            self._problems.append(f"'model.inputs' names {names(missing)}, the input has {names(self._columns.names)}")
            return []
        if len(found) != len(inputs):
            self._advice = "Choose the columns, in the model's order, with 'input.columns'."
            self._problems.append(f"got {len(found)} columns, expected {len(inputs)} without names")
            return []
        if not wanted:
            self._refuse_doubtful_order(found, _UNNAMED)
        return [self._column(name, one) for name, one in zip(found, inputs, strict=True)]

    def _refuse_doubtful_order(self, found: Sequence[str], name: str) -> None:
        if self._order_doubt and len(found) > 1:
            self._problems.append(f"input '{name}' takes columns by position: {self._order_doubt}")
            self._advice = order_advice(found)

    def feed(self, one: ModelInput, chosen: Mapping[str, Sequence[str]], *, is_only: bool) -> Feed | None:
        wanted = chosen.get(one.name or _UNNAMED)
        if isinstance(one, TensorInput):
            return self._tensor(one, wanted, is_only=is_only)
        if wanted and len(wanted) > 1:
            self._problems.append(f"'model.inputs' gives column '{one.name}' {len(wanted)} columns, it takes one")
            return None
        name = wanted[0] if wanted else one.name or ""
        if name in self._columns.names:
            return self._column(name, one)
        if one.is_required or wanted:
            self._missing(name, one.type)
        return None

    def refuse_problems(self) -> None:
        if self._problems:
            raise _mismatch(self._problems, self._advice)

    def _missing(self, name: str, type_: pa.DataType | None) -> None:
        near = difflib.get_close_matches(name.lower(), [known.lower() for known in self._columns.names], n=1)
        hint = next((f", did you mean '{known}'" for known in self._columns.names if known.lower() in near), "")
        self._problems.append(f"column '{name}': got none, expected {_type_text(type_)}{hint}")
        self._advice = "Rename or add the columns, or name them with 'model.inputs: {NAME: COLUMN}'."

    def _column(self, column: str, one: ModelInput) -> Feed:
        given = self._columns.field(column).type
        kinds = one.kinds if isinstance(one, ColumnInput) else ()
        if any(is_of_kind(given, kind) for kind in kinds):
            # Booleans among numbers are exact doubles: with NULL they would be objects.
            type_ = pa.float64() if pa.types.is_boolean(given) and len(kinds) > 1 else one.type
            return Feed(one.name, (column,), type_, None, self._rounds)
        if kinds and one.type is None:
            self._problems.append(f"column '{column}': got {_type_text(given)}, expected {' or '.join(kinds)}")
            if kinds == ("text",):
                self._advice = f"Correct the input, or read texts: 'input.schema' with '{column} string' in it."
        else:
            self._check_type(column, given, one.type)
        type_ = None if one.type is None else without_absent(given, one.type)
        takes_null = isinstance(one, ColumnInput) and one.takes_null
        return Feed(one.name, (column,), type_, None, self._rounds, takes_null)

    def _check_type(self, column: str, given: pa.DataType, wanted: pa.DataType | None) -> None:
        if wanted is None or is_exact(given, wanted) or is_checked(given, wanted):
            return
        if self._rounds and is_rounded(given, wanted):
            return
        self._problems.append(f"column '{column}': got {_type_text(given)}, expected {_type_text(wanted)}")
        if is_rounded(given, wanted):
            self._advice = f"Cast the columns, or set '{_ROUND}': numbers are then rounded to the model's floats."

    def _tensor(self, one: TensorInput, wanted: Sequence[str] | None, *, is_only: bool) -> Feed | None:
        found = self._columns_of_tensor(one, wanted, is_only=is_only)
        if found is None:
            return None
        for column in found:
            self._check_type(column, self._element_type(column, one), one.type)
        return Feed(one.name, found, one.type, one.shape, self._rounds)

    def _columns_of_tensor(
        self, one: TensorInput, wanted: Sequence[str] | None, *, is_only: bool
    ) -> tuple[str, ...] | None:
        found = self._columns.names
        if wanted:
            if missing := set(wanted) - set(found):
                self._problems.append(f"'model.inputs' names {names(missing)}, the input has {names(found)}")
                return None
        elif one.name in found:
            wanted = [str(one.name)]
        elif is_only:
            wanted = found
            self._refuse_doubtful_order(found, one.name or _UNNAMED)
        else:
            self._missing(one.name or "", one.type)
            return None
        return tuple(wanted) if self._has_width(one, wanted) else None

    def _has_width(self, one: TensorInput, wanted: Sequence[str]) -> bool:
        lists = [name for name in wanted if _is_list(self._columns.field(name).type)]
        if lists and len(wanted) > 1 and one.width in {None, len(wanted)}:
            self._problems.append(f"columns {names(lists)} of lists cannot be joined with others in one tensor")
            return False
        is_one_list = len(wanted) == 1 and bool(lists)
        if is_one_list or one.width is None or one.width == len(wanted):
            return True
        name = one.name or _UNNAMED
        self._problems.append(f"input '{name}': got {len(wanted)} columns, expected {one.width} values in a row")
        self._advice = (
            f"Choose them, in the model's order, with 'input.columns' or 'model.inputs: {{{name}: [COLUMN, …]}}'."
        )
        return False

    def _element_type(self, column: str, one: TensorInput) -> pa.DataType:
        given = self._columns.field(column).type
        for _ in one.shape:
            given = given.value_type if _is_list(given) else given
        return given


def _feed_of_files(inputs: Sequence[ModelInput]) -> Feed:
    one = inputs[0] if len(inputs) == 1 else None
    if isinstance(one, TensorInput) and (one.type is None or _is_number(one.type)):
        return Feed(one.name, (), one.type, one.shape)
    if isinstance(one, ColumnInput) and one.type is not None and pa.types.is_binary(one.type):
        return Feed(one.name, (), one.type)
    taken = ", ".join(_input_text(Feed(each.name, (), each.type, getattr(each, "shape", None))) for each in inputs)
    raise _mismatch(
        [f"the input is files, the model takes {taken}"],
        "Say how the files are read with 'input.format', or give the deployment a scoring script.",
    )


def _mismatch(problems: Sequence[str], advice: str) -> SignatureMismatchError:
    hidden = len(problems) - _LISTED
    listed = "; ".join(problems[:_LISTED]) + (f"; and {hidden} more" if hidden > 0 else "")
    return SignatureMismatchError(
        code=ErrorCode.SIGNATURE_MISMATCH, what=f"the input does not fit the model: {listed}", next_step=advice
    )


def _has_no_null(feed: Feed) -> bool:
    """Tell whether NULL has no value there: a float has NaN, and a column of texts or objects None."""
    if feed.type is None or pa.types.is_floating(feed.type) or feed.takes_null:
        return False
    return feed.shape is not None or pa.types.is_integer(feed.type) or pa.types.is_boolean(feed.type)


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_))


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _type_text(type_: pa.DataType | None) -> str:
    return "any type" if type_ is None else type_name(type_).removeprefix("Arrow ")


def _input_text(feed: Feed) -> str:
    shape = "" if feed.shape is None else f"[{','.join(map(str, feed.shape))}]"
    return f"{feed.name or 'input'} {_type_text(feed.type)}{shape}"


def _columns_text(columns: Sequence[str]) -> str:
    if not columns:
        return "each file"
    hidden = len(columns) - _NAMED
    return ", ".join(columns[:_NAMED]) + (f" and {hidden} more" if hidden > 0 else "")
