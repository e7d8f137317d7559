"""Find the arguments and the results of an SQL function from a deployment and its model. Runs on the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from sparkscore.config import Deployment
from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, SparkscoreError, names
from sparkscore.run import PreparedRun
from sparkscore.run.no_code import outputs_of, section_of
from sparkscore.signature import parse_ddl, to_ddl, type_name
from sparkscore.signature.model_signature import ColumnInput, ModelInput, TensorInput
from sparkscore.signature.naming import SCALAR_NAMES
from sparkscore.signature.same_name import doubled_names
from sparkscore.worker.sql_arguments import Argument, convert
from sparkscore.worker.sql_call import ERROR, VERSION
from sparkscore.yaml_lines import yaml_schema

STATE: Final = "Nothing was registered."
#: The argument of a function that scores files.
PATH: Final = "path"
# Spark has no unsigned integers and no half floats.
_WIDER: Final = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
}
# The type of an argument for a column that the model describes only by groups of types.
_BY_GROUP: Final = {"number": pa.float64(), "integer": pa.int64(), "text": pa.string(), "boolean": pa.bool_()}


def is_of_files(prepared: PreparedRun) -> bool:
    """Return whether the function scores files, so that its argument is a path."""
    config = prepared.deployment.input
    if config.schema_ddl:
        return False
    is_default = config.format is None and prepared.deployment.is_azure and prepared.script is not None
    return config.format == "files" or is_default


def arguments_of(prepared: PreparedRun) -> tuple[Argument, ...]:
    """Return the function's arguments, with the comments and the defaults of ``sql.arguments``.

    They are the columns of ``input.schema``, or else the inputs in the model's signature.

    Raises:
        ConfigError: the arguments or their types are not known, or ``sql.arguments`` does not fit them.
    """
    if is_of_files(prepared):
        found = [Argument(PATH, pa.string(), nullable=False, comment="path or URI of a file")]
    elif prepared.deployment.input.schema_ddl:
        found = _declared_arguments(prepared)
    else:
        found = _arguments_of_model(prepared)
    if doubled := doubled_names(each.name for each in found):
        raise _unknown(prepared, f"several arguments {names(doubled)}", ["input"])
    return _with_settings(found, prepared)


def predictions_of(prepared: PreparedRun) -> tuple[pa.Schema, tuple[str, ...]]:
    """Return the columns that the scorer returns, and their names in the function's struct.

    Raises:
        ConfigError: the columns are not known, or a name is taken.
    """
    deployment = prepared.deployment
    schema: pa.Schema | None = None
    if deployment.output.schema_ddl:
        schema = parse_ddl(deployment.output.schema_ddl)
    elif prepared.description is not None:
        schema = outputs_of(prepared.description, section_of(deployment))
    if schema is None or not len(schema):
        raise _unknown(prepared, "no 'output.schema', and no outputs in the model's signature", ["output"])
    found = tuple(deployment.columns.get(name, name) for name in schema.names)
    if taken := doubled_names([*found, ERROR, VERSION]):
        old = next((name for name, new in zip(schema.names, found, strict=True) if new in taken), schema.names[0])
        raise ConfigError(
            code=ErrorCode.SQL_SIGNATURE,
            what=f"the function would return two columns {names(set(taken))}",
            expected=f"other names than '{ERROR}' and '{VERSION}'",
            state=STATE,
            next_step=f"Rename the column in the deployment: 'columns: {{{old}: model_{old}}}'.",
        )
    return schema, found


def _declared_arguments(prepared: PreparedRun) -> list[Argument]:
    config = prepared.deployment.input
    schema = parse_ddl(config.schema_ddl or "", "input.schema", ErrorCode.INPUT_SCHEMA)
    wanted = list(config.columns or schema.names)
    if missing := set(wanted) - set(schema.names):
        raise _unknown(prepared, f"'input.columns' names {names(missing)}, which 'input.schema' lacks", [])
    return [
        Argument(field.name, field.type, field.nullable, comment=_comment_of(field), times_in_utc=_is_model(prepared))
        for field in (schema.field(name) for name in wanted)
    ]


def _comment_of(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"comment", b"").decode())


def _is_model(prepared: PreparedRun) -> bool:
    return prepared.script is None


def _arguments_of_model(prepared: PreparedRun) -> list[Argument]:
    if prepared.description is None:
        raise _unknown(prepared, "a scoring script and no 'input.schema'", ["input"])
    inputs = prepared.description.signature.inputs
    if inputs is None:
        raise _unknown(prepared, "a model without a signature and no 'input.schema'", ["input"])
    section = section_of(prepared.deployment)
    columns = [column for one in inputs for column in section.inputs.get(one.name or "input", ())]
    if columns or not inputs:
        raise _unknown(prepared, "'model.inputs' and no 'input.schema'", ["input"], dict.fromkeys(columns, "double"))
    found = [_argument_of(one, number, rounds=section.round_inputs) for number, one in enumerate(inputs)]
    if None in found:
        known = {_name_of(one, number): _type_text(one) for number, one in enumerate(inputs)}
        raise _unknown(prepared, "a signature without types and no 'input.schema'", ["input"], known)
    return [each for each in found if each is not None]


def _name_of(one: ModelInput, number: int) -> str:
    return one.name or ("input" if isinstance(one, TensorInput) else f"c{number}")


def _type_text(one: ModelInput) -> str:
    found = _argument_of(one, 0, rounds=False)
    return "string" if found is None else type_name(found.type)


def _argument_of(one: ModelInput, number: int, *, rounds: bool) -> Argument | None:
    """Return the argument for an input of the model, or None if the model does not say which type it takes."""
    type_ = _type_of(one)
    if type_ is None or not _has_name(type_):
        return None
    if rounds and type_ in {pa.float32(), pa.float64()}:
        type_ = pa.float64()
    name, default = _name_of(one, number), None
    if isinstance(one, ColumnInput) and not one.is_required and (_is_open(type_) or one.takes_null):
        default = pa.nulls(1, type_)
    takes_boolean = isinstance(one, ColumnInput) and "boolean" in one.accepts
    return Argument(name, type_, default=default, takes_boolean=takes_boolean, times_in_utc=True)


def _is_open(type_: pa.DataType) -> bool:
    """Return whether a model takes NULLs in a column of this type."""
    return not (pa.types.is_integer(type_) or pa.types.is_boolean(type_))


def _type_of(one: ModelInput) -> pa.DataType | None:
    if isinstance(one, ColumnInput):
        if one.type is not None:
            return _WIDER.get(one.type, one.type)
        return next((type_ for group, type_ in _BY_GROUP.items() if group in one.accepts), None)
    if one.type is None:
        return None
    type_ = _WIDER.get(one.type, one.type)
    for _ in one.shape[1:] if one.width != 1 else ():
        type_ = pa.list_(type_)
    return type_


def _has_name(type_: pa.DataType) -> bool:
    return type_ in SCALAR_NAMES or not type_name(type_).startswith("Arrow ")


def _with_settings(found: Sequence[Argument], prepared: PreparedRun) -> tuple[Argument, ...]:
    """Return the arguments with the comments and the defaults of ``sql.arguments``."""
    sql = prepared.deployment.sql
    settings = {} if sql is None else dict(sql.arguments)
    if unknown := set(settings) - {each.name for each in found}:
        raise ConfigError(
            code=ErrorCode.SQL_DEFAULT,
            what=f"'sql.arguments' names {names(unknown)}",
            expected=f"arguments of the function: {names(each.name for each in found)}",
            state=STATE,
            next_step="Correct 'sql.arguments'.",
        )
    done = []
    for argument in found:
        one = settings.get(argument.name)
        default = argument.default
        if one is not None and one.has_default:
            default = _default(argument, one.default)
        comment = (one.comment if one is not None else None) or argument.comment
        changes: dict[str, Any] = {**vars(argument), "comment": comment, "default": default}
        done.append(Argument(**changes))
    return tuple(done)


def _default(argument: Argument, value: object) -> pa.Array:
    if pa.types.is_decimal(argument.type) and isinstance(value, (int, float)):
        value = Decimal(str(value))
    try:
        given = pa.array([value], _type_of_default(argument.type, value))
        found, failed = convert("sql.arguments", argument, given)
    except (pa.ArrowException, SparkscoreError, TypeError, ValueError):
        found, failed = pa.nulls(1), {0: None}  # type: ignore[dict-item]  # only whether it is empty counts
    if failed:
        raise ConfigError(
            code=ErrorCode.SQL_DEFAULT,
            what=f"'sql.arguments.{argument.name}.default'",
            got="null" if value is None else type(value).__name__,
            expected=f"a value that is exactly one of {type_name(argument.type)}",
            state=STATE,
            next_step="Correct the default.",
        )
    return found


def _type_of_default(wanted: pa.DataType, value: object) -> pa.DataType | None:
    """Return the Arrow type of a value in a YAML file, or None if Arrow finds it.

    A number that is written into a file for a float is the nearest float, as in every programming language.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_own = pa.types.is_floating(wanted) and is_number
    return wanted if is_own or not isinstance(value, (bool, int, float)) else None


def _unknown(
    prepared: PreparedRun, got: str, sections: Sequence[str], columns: Mapping[str, str] | None = None
) -> ConfigError:
    """Return an error about unknown arguments or results, with the lines to add to the deployment."""
    return ConfigError(
        code=ErrorCode.SQL_SIGNATURE,
        what="the arguments and results of the SQL function are not known",
        got=got,
        expected="names and types for both",
        state=STATE,
        next_step=_advice(prepared, sections, columns or {}),
    )


def _advice(prepared: PreparedRun, sections: Sequence[str], columns: Mapping[str, str]) -> str:
    lines = []
    for section in sections:
        ddl = "prediction double" if section == "output" else _example(columns)
        if prepared.deployment_name is None:
            lines.append(f'pass settings={{"{section}.schema": "{ddl}"}}')
        elif _has_section(prepared.deployment, section):
            lines.append(f"add under '{section}:' the line 'schema: {yaml_schema(ddl)}'")
        else:
            lines.append(f"add the line '{section}: {{schema: {_flow(ddl)}}}' to the deployment")
    text = ", and ".join(lines) or "correct the deployment"
    return f"{text[0].upper()}{text[1:]}, with the names and types of your columns."


def _example(columns: Mapping[str, str]) -> str:
    if not columns:
        return "age double, bmi double"
    fields = [pa.field(name, parse_ddl(f"x {type_}").field(0).type) for name, type_ in columns.items()]
    return to_ddl(pa.schema(fields))


def _flow(ddl: str) -> str:
    return '"' + ddl.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _has_section(deployment: Deployment, section: str) -> bool:
    return any(key.startswith(f"{section}.") for key in deployment.chosen())
