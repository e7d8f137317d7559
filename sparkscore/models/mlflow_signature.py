"""Convert an MLflow model signature to a `ModelSignature` with Arrow types. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from sparkscore.returned.shapes import PREDICTION
from sparkscore.signature.model_signature import ColumnInput, ModelInput, ModelSignature, TensorInput, optional

if TYPE_CHECKING:
    from mlflow.types.schema import ColSpec, ParamSchema, Schema, TensorSpec


_SCALARS: Final = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    # MLflow rejects datetimes with a time zone, so the model gets naive datetimes in UTC.
    "datetime": pa.timestamp("us"),
}
# Spark has no unsigned integers and no half floats, so result columns use the next wider Spark type.
_STORED: Final = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
}


def read_signature(signature: dict[str, Any]) -> ModelSignature:
    """Convert the signature in an MLmodel file to a `ModelSignature`.

    Call this function inside `quiet_mlflow`, because it uses MLflow to read the signature.

    Args:
        signature: the value of the ``signature`` key in the MLmodel file.

    Raises:
        Exception: MLflow cannot read the signature. MLflow has no common base class for these exceptions.
    """
    from mlflow.models import ModelSignature as MlflowSignature

    read = MlflowSignature.from_dict(signature)
    return ModelSignature(
        inputs=None if read.inputs is None else tuple(_inputs(read.inputs)),
        outputs=None if read.outputs is None else _outputs(read.outputs),
        params=None if read.params is None else _params(read.params),
    )


def _inputs(schema: Schema) -> list[ModelInput]:
    specs: list[Any] = schema.inputs
    if schema.is_tensor_spec():
        return [TensorInput(spec.name, _tensor_type(spec.type), tuple(spec.shape)) for spec in specs]
    if _has_one_unnamed(specs, "object"):
        # The input is a list of pydantic models or dictionaries, whose fields are the input columns.
        properties = specs[0].to_dict()["properties"]
        return [_input(name, field, takes_null=not field["required"]) for name, field in properties.items()]
    return [_input(_name_of(spec), spec.to_dict(), takes_null=_takes_null(spec)) for spec in specs]


def _input(name: str | None, written: dict[str, Any], *, takes_null: bool) -> ColumnInput:
    type_, has_no_null = _column_type(written), written["type"] in {"boolean", "integer", "long"}
    return ColumnInput(name, type_, written["required"], takes_null and has_no_null)


def _takes_null(spec: ColSpec) -> bool:
    # `_enforce_mlflow_datatype` in mlflow/models/utils.py accepts None in an object column for a boolean input, but not
    # for an integer input, even if the input is optional.
    return not spec.required and bool(spec.to_dict()["type"] == "boolean")


def _has_one_unnamed(specs: list[Any], *types: str) -> bool:
    return len(specs) == 1 and specs[0].name is None and specs[0].to_dict()["type"] in types


def _outputs(schema: Schema) -> pa.Schema | None:
    """Return the names and types of the result columns, or None if the signature leaves a type undefined.

    If None is returned, the probe finds the types by calling the model before scoring.
    """
    if not schema.is_tensor_spec() and _has_one_unnamed(schema.inputs, "object", "map"):
        # The model returns dictionaries, and each key is a column. The type of a map does not list the keys.
        fields = _column_type(schema.inputs[0].to_dict())
        return pa.schema(list(fields)) if fields is not None and pa.types.is_struct(fields) else None
    names = [_name_of(spec) for spec in schema.inputs]
    found = [_output_type(spec) for spec in schema.inputs]
    types = [type_ for type_ in found if type_ is not None]
    if not types or len(types) < len(found):
        return None
    if len(names) == 1:
        return pa.schema([(names[0] or PREDICTION, types[0])])
    fields = [pa.field(name or f"c{at}", type_) for at, (name, type_) in enumerate(zip(names, types, strict=True))]
    required = [getattr(spec, "required", True) for spec in schema.inputs]
    return pa.schema([field if must else optional(field) for field, must in zip(fields, required, strict=True)])


def _name_of(spec: ColSpec | TensorSpec) -> str | None:
    """Return the name of a column or tensor, or None if it is unnamed.

    A number does not count as a name, because pandas numbers unnamed columns.
    """
    return spec.name if isinstance(spec.name, str) else None


def _output_type(spec: Any) -> pa.DataType | None:
    shape = getattr(spec, "shape", None)
    if shape is None:
        return _column_type(spec.to_dict())
    type_ = _tensor_type(spec.type)
    if type_ is None or not shape:
        return None
    type_ = _STORED.get(type_, type_)
    for _ in shape[1:]:
        type_ = pa.list_(type_)
    return type_


def _column_type(written: Any) -> pa.DataType | None:
    """Return the Arrow type for a type in MLflow's notation, or None if any part of the type is undefined.

    Args:
        written: the type in MLflow's notation: a type name, or a dictionary with the key ``type``.
    """
    type_name = written if isinstance(written, str) else written["type"]
    if type_name in _SCALARS:
        return _SCALARS[type_name]
    if type_name == "sparkml_vector":
        return pa.list_(pa.float64())
    parts = _parts_of(type_name, written)
    types = {name: _column_type(part) for name, part in parts.items()}
    if not types or None in types.values():
        return None
    if type_name == "array":
        return pa.list_(types["items"])
    if type_name == "map":
        return pa.map_(pa.string(), types["values"])
    fields = [pa.field(name, type_) for name, type_ in types.items()]
    return pa.struct([field if parts[field.name]["required"] else optional(field) for field in fields])


def _parts_of(type_name: str, written: dict[str, Any]) -> dict[str, Any]:
    if type_name == "object":
        return dict(written["properties"])
    return {part: written[part] for part in ("items", "values") if part in written}


def _tensor_type(dtype: np.dtype[Any]) -> pa.DataType | None:
    if dtype.kind in "US":
        return pa.string() if dtype.kind == "U" else pa.binary()
    if dtype.kind == "M":
        return pa.timestamp("us")
    return None if dtype.kind not in "biuf" else pa.from_numpy_dtype(dtype)


def _params(schema: ParamSchema) -> tuple[tuple[str, object], ...]:
    return tuple((spec.name, spec.default) for spec in schema.params)
