"""Match a model's inputs with the columns of the data before anything is scored. Runs on the driver."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import SignatureMismatchError, names
from sparkscore.signature.model_signature import ColumnInput, Feed, ModelInput, TensorInput
from sparkscore.signature.naming import type_name
from sparkscore.signature.widening import is_checked, is_exact, is_in_group, is_list, is_rounded, without_absent
from sparkscore.yaml_lines import yaml_list

_SHOWN_PROBLEMS: Final = 10
_SHOWN_NAMES: Final = 3
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
    """Find the columns for each input of a model.

    An input gets the columns that ``model.inputs`` chooses for it, or else the column with exactly its name. There are
    three exceptions:

    - If all of the model's inputs are unnamed columns, they are matched by position.
    - If a tensor is the only input and no column has its name, it gets all columns.
    - If the items are files, the only input gets each file.

    A column fits an input if its type belongs to a group that the input accepts, or can be cast to the input's type
    (see `is_exact` and `is_checked`). With ``rounds``, numbers may also be rounded. An input with neither a type nor
    groups takes any type.

    Args:
        inputs: the model's inputs.
        columns: the columns of the data to score, or None if the items are files.
        chosen: the columns that ``model.inputs`` chooses, by input name. Unnamed inputs are called ``input``.
        rounds: whether numbers may be rounded to the model's floats.
        order_doubt: why the order of the columns is unknown, so that they cannot be matched by position. Empty if the
            order is known.

    Returns:
        the model's inputs in their order, each with its columns. Optional inputs without a column are left out.

    Raises:
        SignatureMismatchError: the columns or the files do not fit the model. The message lists up to ten problems.
    """
    matcher = _Matcher(columns or pa.schema([]), order_doubt, rounds=rounds)
    matcher.check_chosen(chosen, inputs)
    if columns is None:
        feeds = [_feed_of_files(inputs)]
    elif all(isinstance(model_input, ColumnInput) and model_input.name is None for model_input in inputs):
        feeds = matcher.by_position(inputs, chosen.get(_UNNAMED))
    else:
        is_only = len(inputs) == 1
        found = [matcher.feed(model_input, chosen, is_only=is_only) for model_input in inputs]
        feeds = [feed for feed in found if feed is not None]
    matcher.refuse_problems()
    return tuple(feeds)


def order_advice(columns: Sequence[str]) -> str:
    """Return advice to list the columns in ``input.columns`` in the model's order, with an example.

    Args:
        columns: the column names for the example.
    """
    return f"Name the columns in the model's order: 'input.columns: {yaml_list(columns)}'."


def describe_feeds(feeds: Sequence[Feed]) -> list[str]:
    """Return log lines that show which columns each input of the model gets.

    Inputs of the same type are listed on one line if they are not tensors and each gets the column of the same name.
    Every other input has its own line. Long lists of names are shortened.
    """
    by_type: dict[str, list[str]] = {}
    lines = []
    for feed in feeds:
        if feed.shape is None and feed.columns == (feed.name,):
            by_type.setdefault(_type_text(feed.type), []).append(str(feed.name))
        else:
            name = "unnamed input" if feed.name is None else f"input {feed.name}"
            lines.append(f"{name} ({_shaped_type(feed)}) gets {_columns_text(feed.columns)}")
    return [*(_same_names(found, type_text) for type_text, found in by_type.items()), *lines]


def columns_without_null(feeds: Sequence[Feed]) -> dict[str, pa.DataType]:
    """Return the columns in which the model takes no NULLs, with the types that their values are cast to."""
    return {
        column: feed.type for feed in feeds if feed.type is not None and _has_no_null(feed) for column in feed.columns
    }


def refuse_known_nulls(feeds: Sequence[Feed], counts: Mapping[str, int]) -> None:
    """Raise an error if columns are already known to have NULLs that the model does not take.

    Args:
        feeds: the model's inputs.
        counts: the number of NULLs by column. Columns whose number of NULLs is not known are left out.

    Raises:
        SignatureMismatchError: a column has NULLs that the model does not take. The message lists up to ten such
            columns.
    """
    wanted = columns_without_null(feeds)
    problems = [
        f"column '{column}': got {counts[column]:,} NULLs, expected {_type_text(arrow_type)} without NULL"
        for column, arrow_type in wanted.items()
        if counts.get(column)
    ]
    if problems:
        found = [arrow_type for column, arrow_type in wanted.items() if counts.get(column)]
        are_texts = all(is_in_group(arrow_type, "text") for arrow_type in found)
        raise _mismatch(problems, _NULL_TEXT_ADVICE if are_texts else _NULL_ADVICE)


class _Matcher:
    """Matches columns with a model's inputs, and collects all problems so that one error can report them."""

    def __init__(self, columns: pa.Schema, order_doubt: str, *, rounds: bool) -> None:
        self._columns = columns
        self._order_doubt = order_doubt
        self._rounds = rounds
        self._problems: list[str] = []
        self._advice = "Correct the input, or cast its columns."

    def check_chosen(self, chosen: Mapping[str, Sequence[str]], inputs: Sequence[ModelInput]) -> None:
        known = {model_input.name or _UNNAMED for model_input in inputs}
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
        return [self._column(name, model_input) for name, model_input in zip(found, inputs, strict=True)]

    def _refuse_doubtful_order(self, found: Sequence[str], name: str) -> None:
        if self._order_doubt and len(found) > 1:
            self._problems.append(f"input '{name}' takes columns by position: {self._order_doubt}")
            self._advice = order_advice(found)

    def feed(self, model_input: ModelInput, chosen: Mapping[str, Sequence[str]], *, is_only: bool) -> Feed | None:
        wanted = chosen.get(model_input.name or _UNNAMED)
        if isinstance(model_input, TensorInput):
            return self._tensor(model_input, wanted, is_only=is_only)
        if wanted and len(wanted) > 1:
            given = f"'model.inputs' gives column '{model_input.name}' {len(wanted)} columns"
            self._problems.append(f"{given}, it takes one")
            return None
        name = wanted[0] if wanted else model_input.name or ""
        if name in self._columns.names:
            return self._column(name, model_input)
        if model_input.is_required or wanted:
            self._missing(name, model_input.type)
        return None

    def refuse_problems(self) -> None:
        if self._problems:
            raise _mismatch(self._problems, self._advice)

    def _missing(self, name: str, type_: pa.DataType | None) -> None:
        near = difflib.get_close_matches(name.lower(), [known.lower() for known in self._columns.names], n=1)
        hint = next((f", did you mean '{known}'" for known in self._columns.names if known.lower() in near), "")
        self._problems.append(f"column '{name}': got none, expected {_type_text(type_)}{hint}")
        self._advice = "Rename or add the columns, or name them with 'model.inputs: {NAME: COLUMN}'."

    def _column(self, column: str, model_input: ModelInput) -> Feed:
        given = self._columns.field(column).type
        groups = model_input.accepts if isinstance(model_input, ColumnInput) else ()
        if any(is_in_group(given, group) for group in groups):
            # If numbers are expected, booleans become doubles. In pandas, booleans with NULLs would be objects.
            type_ = pa.float64() if pa.types.is_boolean(given) and len(groups) > 1 else model_input.type
            return Feed(model_input.name, (column,), type_, None, self._rounds)
        if groups and model_input.type is None:
            self._problems.append(f"column '{column}': got {_type_text(given)}, expected {' or '.join(groups)}")
            if groups == ("text",):
                self._advice = f"Correct the input, or declare '{column} string' in 'input.schema' to read it as text."
        else:
            self._check_type(column, given, model_input.type)
        type_ = None if model_input.type is None else without_absent(given, model_input.type)
        takes_null = isinstance(model_input, ColumnInput) and model_input.takes_null
        return Feed(model_input.name, (column,), type_, None, self._rounds, takes_null)

    def _check_type(self, column: str, given: pa.DataType, wanted: pa.DataType | None) -> None:
        if wanted is None or is_exact(given, wanted) or is_checked(given, wanted):
            return
        if self._rounds and is_rounded(given, wanted):
            return
        self._problems.append(f"column '{column}': got {_type_text(given)}, expected {_type_text(wanted)}")
        if is_rounded(given, wanted):
            self._advice = f"Cast the columns, or set '{_ROUND}': numbers are then rounded to the model's floats."

    def _tensor(self, model_input: TensorInput, wanted: Sequence[str] | None, *, is_only: bool) -> Feed | None:
        found = self._columns_of_tensor(model_input, wanted, is_only=is_only)
        if found is None:
            return None
        for column in found:
            self._check_type(column, self._element_type(column, model_input), model_input.type)
        return Feed(model_input.name, found, model_input.type, model_input.shape, self._rounds)

    def _columns_of_tensor(
        self, model_input: TensorInput, wanted: Sequence[str] | None, *, is_only: bool
    ) -> tuple[str, ...] | None:
        found = self._columns.names
        if wanted:
            if missing := set(wanted) - set(found):
                self._problems.append(f"'model.inputs' names {names(missing)}, the input has {names(found)}")
                return None
        elif model_input.name in found:
            wanted = [str(model_input.name)]
        elif is_only:
            wanted = found
            self._refuse_doubtful_order(found, model_input.name or _UNNAMED)
        else:
            self._missing(model_input.name or "", model_input.type)
            return None
        return tuple(wanted) if self._has_width(model_input, wanted) else None

    def _has_width(self, model_input: TensorInput, wanted: Sequence[str]) -> bool:
        lists = [name for name in wanted if is_list(self._columns.field(name).type)]
        if lists and len(wanted) > 1 and model_input.width in {None, len(wanted)}:
            self._problems.append(f"columns {names(lists)} of lists cannot be joined with others in one tensor")
            return False
        is_one_list = len(wanted) == 1 and bool(lists)
        if is_one_list or model_input.width is None or model_input.width == len(wanted):
            return True
        name = model_input.name or _UNNAMED
        expected = f"{model_input.width} values in a row"
        self._problems.append(f"input '{name}': got {len(wanted)} columns, expected {expected}")
        self._advice = (
            f"Choose them, in the model's order, with 'input.columns' or 'model.inputs: {{{name}: [COLUMN, …]}}'."
        )
        return False

    def _element_type(self, column: str, model_input: TensorInput) -> pa.DataType:
        given = self._columns.field(column).type
        for _ in model_input.shape:
            given = given.value_type if is_list(given) else given
        return given


def _feed_of_files(inputs: Sequence[ModelInput]) -> Feed:
    model_input = inputs[0] if len(inputs) == 1 else None
    if isinstance(model_input, TensorInput) and (model_input.type is None or _is_number(model_input.type)):
        return Feed(model_input.name, (), model_input.type, model_input.shape)
    if isinstance(model_input, ColumnInput) and model_input.type is not None and pa.types.is_binary(model_input.type):
        return Feed(model_input.name, (), model_input.type)
    taken = ", ".join(_input_text(Feed(each.name, (), each.type, getattr(each, "shape", None))) for each in inputs)
    raise _mismatch(
        [f"the input is files, the model takes {taken}"],
        "Set 'input.format' to read rows from the files, or add a scoring script to the deployment.",
    )


def _mismatch(problems: Sequence[str], advice: str) -> SignatureMismatchError:
    hidden = len(problems) - _SHOWN_PROBLEMS
    listed = "; ".join(problems[:_SHOWN_PROBLEMS]) + (f"; and {hidden} more" if hidden > 0 else "")
    return SignatureMismatchError(
        code=ErrorCode.SIGNATURE_MISMATCH, what=f"the input does not fit the model: {listed}", next_step=advice
    )


def _has_no_null(feed: Feed) -> bool:
    """Return whether an input of the model takes no NULLs.

    A tensor takes NULLs only if its elements are floats or Python objects. An integer or boolean column takes NULLs
    only if the model says so. Columns of other types always take NULLs.
    """
    if feed.type is None or pa.types.is_floating(feed.type) or feed.takes_null:
        return False
    return feed.shape is not None or pa.types.is_integer(feed.type) or pa.types.is_boolean(feed.type)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _type_text(type_: pa.DataType | None) -> str:
    return "any type" if type_ is None else type_name(type_).removeprefix("Arrow ")


def _input_text(feed: Feed) -> str:
    return f"{feed.name or 'input'} {_shaped_type(feed)}"


def _shaped_type(feed: Feed) -> str:
    shape = "" if feed.shape is None else f"[{','.join(map(str, feed.shape))}]"
    return f"{_type_text(feed.type)}{shape}"


def _same_names(found: Sequence[str], type_text: str) -> str:
    if len(found) == 1:
        return f"input {found[0]} ({type_text}) gets the column of the same name"
    return f"inputs {_first_names(found)} ({type_text}) get the columns of the same name"


def _columns_text(columns: Sequence[str]) -> str:
    if not columns:
        return "each file"
    return f"column {columns[0]}" if len(columns) == 1 else f"columns {_first_names(columns)}"


def _first_names(columns: Sequence[str]) -> str:
    hidden = len(columns) - _SHOWN_NAMES
    return ", ".join(columns[:_SHOWN_NAMES]) + (f" and {hidden} more" if hidden > 0 else "")
