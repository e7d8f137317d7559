"""Describe a model's inputs and outputs with Arrow types, independently of the model's library.

Runs on the driver and the workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

import pyarrow as pa

_OPTIONAL: Final = b"sparkscore.optional"


@dataclass(frozen=True)
class ColumnInput:
    """One column that a model takes.

    Attributes:
        name: the column's name, or None if the signature has no names and columns are matched by position.
        type: the Arrow type that the model expects, or None if it does not expect a single type.
        is_required: whether the model needs the column.
        takes_null: for an integer or boolean column, whether the model takes NULLs. Ignored for other types.
        accepts: groups of types (``text``, ``integer``, ``number``, ``boolean``) that the model takes in addition to
            types that can be cast to ``type``. A column with neither a type nor groups takes any type.
    """

    name: str | None
    type: pa.DataType | None
    is_required: bool = True
    takes_null: bool = False
    accepts: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorInput:
    """One tensor that a model takes.

    Attributes:
        name: the tensor's name, or None if the signature has no names.
        type: the Arrow type of the elements, or None if they may be any Python objects.
        shape: the size of each dimension, or -1 for any size. The first one is the number of rows.
    """

    name: str | None
    type: pa.DataType | None
    shape: tuple[int, ...]

    @property
    def width(self) -> int | None:
        """The number of values in one row of the tensor, or None if it is not fixed."""
        inner = self.shape[1:]
        return None if any(size < 0 for size in inner) else prod(inner)


ModelInput = ColumnInput | TensorInput


def optional(field: pa.Field) -> pa.Field:
    """Copy an Arrow field and mark the copy as optional, which means that data may lack the field.

    The mark replaces the field's metadata. The copy still compares equal to the original.
    """
    return field.with_metadata({_OPTIONAL: b""})


def is_optional(field: pa.Field) -> bool:
    """Return whether an Arrow field of a struct or schema is marked as optional; see `optional`."""
    return _OPTIONAL in (field.metadata or {})


@dataclass(frozen=True)
class ModelSignature:
    """A model's inputs, outputs and parameters, as far as the model describes them.

    Attributes:
        inputs: the inputs in the model's order, or None if they are not described.
        outputs: the columns of the result, or None if they are not described.
        params: the name and default of each parameter, or None if they are not described.
    """

    inputs: tuple[ModelInput, ...] | None = None
    outputs: pa.Schema | None = None
    params: tuple[tuple[str, object], ...] | None = None


@dataclass(frozen=True)
class Feed:
    """A model input and the columns that are passed to it. Feeds can be pickled.

    Attributes:
        name: the input's name, or None if it is unnamed.
        columns: the column names, in order. Several columns form one tensor. Empty if the items are files.
        type: the Arrow type that the values are cast to, or None if they are not cast.
        shape: for a tensor, the size of each dimension, as in `TensorInput`. None for a column.
        rounds: whether numbers may be rounded to the nearest value of the type.
        takes_null: for an integer or boolean column, whether the model takes NULLs. Ignored for other types.
    """

    name: str | None
    columns: tuple[str, ...]
    type: pa.DataType | None
    shape: tuple[int, ...] | None = None
    rounds: bool = False
    takes_null: bool = False
