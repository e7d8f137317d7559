"""What a model takes and gives, in Arrow's types, whatever library describes it (driver and worker)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

import pyarrow as pa

_OPTIONAL: Final = b"sparkscore.optional"


@dataclass(frozen=True)
class ColumnInput:
    """One column that the model takes.

    Attributes:
        name: its name; None where the signature has no names and columns count by position.
        type: the Arrow type that the model wants; None where it takes any type.
        is_required: whether the model needs it.
        takes_null: whether it takes a NULL where the type has no value for it: an integer or a boolean.
        kinds: kinds of columns that it takes (``text``, ``integer``, ``number``, ``boolean``), besides those that
            become its type; any where there is neither a type nor a kind.
    """

    name: str | None
    type: pa.DataType | None
    is_required: bool = True
    takes_null: bool = False
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorInput:
    """One tensor that the model takes.

    Attributes:
        name: its name; None where the signature has no names.
        type: the Arrow type of its elements; None where any object is meant.
        shape: all its dimensions, the batch's first; -1 where the model leaves one free.
    """

    name: str | None
    type: pa.DataType | None
    shape: tuple[int, ...]

    @property
    def width(self) -> int | None:
        """Number of values of one row; None where the model leaves that free."""
        inner = self.shape[1:]
        return None if any(size < 0 for size in inner) else prod(inner)


ModelInput = ColumnInput | TensorInput


def optional(field: pa.Field) -> pa.Field:
    """Mark a field of a struct that the input need not have; the type stays equal to the plain one."""
    return field.with_metadata({_OPTIONAL: b""})


def is_optional(field: pa.Field) -> bool:
    """Whether a field is marked so."""
    return _OPTIONAL in (field.metadata or {})


@dataclass(frozen=True)
class ModelSignature:
    """A model's inputs and outputs.

    Attributes:
        inputs: what it takes, in order; None where the model does not say.
        outputs: the columns of the result that it gives; None where the model does not say.
        params: its parameters with their defaults, as pairs; None where the model does not say.
    """

    inputs: tuple[ModelInput, ...] | None = None
    outputs: pa.Schema | None = None
    params: tuple[tuple[str, object], ...] | None = None


@dataclass(frozen=True)
class Feed:
    """One input of the model and the columns that it gets its values from; plain and picklable.

    Attributes:
        name: name of the model's input; None where it has none.
        columns: the input columns, in order; several make one tensor.
        type: the Arrow type that the values are cast to; None where they stay as they are.
        shape: for a tensor all its dimensions, the batch's first and -1 where one is free; None for a column.
        rounds: whether numbers may be rounded to the nearest value of the type.
        takes_null: whether the model takes a NULL among integers or booleans.
    """

    name: str | None
    columns: tuple[str, ...]
    type: pa.DataType | None
    shape: tuple[int, ...] | None = None
    rounds: bool = False
    takes_null: bool = False
