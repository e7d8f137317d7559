"""Write the statement that makes a model a batch function in Unity Catalog. Runs on the driver, without Spark.

A session's functions end with the session, and Spark stores no functions of Python. Unity Catalog of Databricks stores
them: the model and the code that calls it are in the statement.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Sequence
from importlib.metadata import packages_distributions, version
from importlib.resources import files
from typing import Final, NamedTuple, NoReturn

import pyarrow as pa

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, names
from sparkscore.run.no_code import no_code_spec, section_of
from sparkscore.scorers.specs import FrameworkSpec, OnnxSpec
from sparkscore.signature.model_signature import Feed
from sparkscore.sql.function import SqlFunction
from sparkscore.sql.spec import feeds_of, without_null
from sparkscore.worker.sql_arguments import Argument

_STATE: Final = "Nothing was printed."
_NAME: Final = re.compile(r"(?:[A-Za-z_]\w*\.){0,2}[A-Za-z_]\w*", re.ASCII)
# Databricks documents no limit for a statement. A longer one is hard to send and to read.
_MOST_CHARACTERS: Final = 1 << 20
_END: Final = "$$"
_MODELS: Final = "a model file of scikit-learn, XGBoost, LightGBM or ONNX, without a scoring script"


class _Type(NamedTuple):
    """A type in SQL, and the pandas dtypes of an argument and of a result of this type."""

    sql: str
    argument: str
    result: str


_TYPES: Final = {
    pa.bool_(): _Type("BOOLEAN", "bool", "boolean"),
    pa.int8(): _Type("TINYINT", "int8", "Int8"),
    pa.int16(): _Type("SMALLINT", "int16", "Int16"),
    pa.int32(): _Type("INT", "int32", "Int32"),
    pa.int64(): _Type("BIGINT", "int64", "Int64"),
    pa.float32(): _Type("FLOAT", "float32", "float32"),
    pa.float64(): _Type("DOUBLE", "float64", "float64"),
    pa.string(): _Type("STRING", "object", "object"),
}
# Types whose values another type holds exactly.
_WIDER: Final = {
    pa.float64(): {pa.float32(), pa.int32(), pa.int16(), pa.int8()},
    pa.float32(): {pa.int16(), pa.int8()},
}
_NO_TEXT: Final = ("xgboost", "lightgbm")
_MODULES: Final = {"sklearn": "sklearn", "xgboost": "xgboost", "lightgbm": "lightgbm", "onnx": "onnxruntime"}
# How to load a model from `data`, and a function that returns the columns of its predictions.
_LOADERS: Final = {
    "sklearn": """
    import joblib
    model = joblib.load(io.BytesIO(data))
    def predict(frame):
        names = getattr(model, "feature_names_in_", None)
        found = np.asarray(getattr(model, METHOD)(frame.to_numpy() if names is None else frame[list(names)]))
        return list(found.reshape(len(frame), -1).T)
""",
    "xgboost": """
    import xgboost
    model = xgboost.Booster({"nthread": 1})
    model.load_model(bytearray(data))
    def predict(frame):
        return list(np.asarray(model.predict(xgboost.DMatrix(frame))).reshape(len(frame), -1).T)
""",
    "lightgbm": """
    import lightgbm
    model = lightgbm.Booster(model_str=data.decode())
    def predict(frame):
        return list(np.asarray(model.predict(frame, num_threads=1)).reshape(len(frame), -1).T)
""",
    "onnx": """
    import onnxruntime
    model = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    def predict(frame):
        given = {name: np.column_stack([frame[column].to_numpy() for column in columns]).astype(dtype).reshape(shape)
                 for name, columns, dtype, shape in FEEDS}
        return [np.asarray(found).reshape(len(frame)) for found in model.run(METHOD, given)]
""",
}


def create_statement(function: SqlFunction, name: str | None = None) -> str:
    """Return a ``CREATE FUNCTION`` statement for Unity Catalog, which nobody has tried on Databricks.

    Args:
        function: the function. Its model must be one file of scikit-learn, XGBoost, LightGBM or ONNX.
        name: name of the function there, such as ``main.models.predict_heart``. If None, the function's own name.

    Raises:
        ConfigError: the name cannot be used, the function cannot be expressed in a statement, or the statement would be
            too long.
        SignatureMismatchError: the arguments do not fit the model.
        OSError: the model cannot be read.
    """
    called = name or function.name
    if not _NAME.fullmatch(called):
        _refuse(
            f"the name '{called}'", "other characters", "CATALOG.SCHEMA.FUNCTION", "Correct --name.", ErrorCode.SQL_NAME
        )
    spec = _spec_of(function)
    arguments = without_null(function.arguments, spec.feeds)
    body = _body(function, spec, _model_of(function), arguments)
    returned = ", ".join(
        f"{_quoted(field.name)}: {_type_of(function, field.name, field.type).sql}" for field in function.outputs
    )
    lines = [
        "-- NOT TRIED: the authors of sparkscore have no Databricks workspace. Try it on rows whose results you know.",
        "-- Needs Unity Catalog and Databricks Runtime 16.3 or later. Databricks converts arguments with CAST before",
        "-- the model gets them, so a BIGINT for a DOUBLE may be rounded.",
        f"CREATE OR REPLACE FUNCTION {called}(",
        ",\n".join(_parameters(function, arguments)) + ")",
        f"RETURNS STRUCT<{returned}>",
        "LANGUAGE PYTHON",
        "DETERMINISTIC" if function.is_deterministic else "NOT DETERMINISTIC",
        f"COMMENT {literal_of(_comment(function))}",
        "PARAMETER STYLE PANDAS",
        "HANDLER 'score'",
        "ENVIRONMENT (",
        f"  dependencies = {literal_of(json.dumps(_dependencies(function)))},",
        "  environment_version = 'None')",
        f"AS {_END}",
        f"{body}{_END};",
    ]
    statement = "\n".join(lines)
    if len(statement) > _MOST_CHARACTERS:
        _unsupported(function, f"a statement of {len(statement):,} characters", f"at most {_MOST_CHARACTERS:,}")
    return statement


def _model_of(function: SqlFunction) -> bytes:
    return b"" if function.prepared.model is None else function.prepared.model.path.read_bytes()


def _comment(function: SqlFunction) -> str:
    return "; ".join(filter(None, [function.comment, function.scorer]))


def _dependencies(function: SqlFunction) -> list[str]:
    """Return the packages that the model needs, with the versions that are installed here."""
    module = _MODULES[_format_of(function)]
    # A package may have several names, such as xgboost and xgboost-cpu.
    found = packages_distributions().get(module)
    if not found:
        _unsupported(function, f"no package '{module}' here", "the package with which the model was tried")
    return [f"{found[0]}=={version(found[0])}"]


def _format_of(function: SqlFunction) -> str:
    description = function.prepared.description
    return "" if description is None else description.model_format


def _parameters(function: SqlFunction, arguments: Sequence[Argument]) -> list[str]:
    """Return the lines of the arguments. A default needs defaults for all arguments after it."""
    last = max((number for number, each in enumerate(arguments, 1) if each.default is None), default=0)
    lines = []
    for number, each in enumerate(arguments):
        default = (
            f" DEFAULT {literal_of(each.default[0].as_py())}" if each.default is not None and number >= last else ""
        )
        comment = f" COMMENT {literal_of(each.comment)}" if each.comment else ""
        lines.append(f"  {_quoted(each.name)} {_type_of(function, each.name, each.type).sql}{default}{comment}")
    return lines


def _spec_of(function: SqlFunction) -> FrameworkSpec | OnnxSpec:
    """Return how a job would score with the function's model, which must be one file.

    Raises:
        ConfigError: there is a script, or a model of another format.
    """
    prepared = function.prepared
    if prepared.script is not None or prepared.description is None or prepared.model is None:
        _unsupported(function, "a scoring script", _MODELS)
    spec = no_code_spec(prepared.description, section_of(prepared.deployment), prepared.model, feeds_of(function), 1)
    if not isinstance(spec, (FrameworkSpec, OnnxSpec)):
        _unsupported(function, f"a model of format '{_format_of(function)}'", _MODELS)
    if not prepared.model.path.is_file():
        _unsupported(function, "a model in a folder", _MODELS)
    return spec


def _body(function: SqlFunction, spec: FrameworkSpec | OnnxSpec, model: bytes, arguments: Sequence[Argument]) -> str:
    """Return the Python code of the function."""
    feeds = _feeds_of(function, spec, arguments)
    values = {
        "ARGUMENTS": [
            (name, _TYPES[type_].argument, each.nullable) for each, (name, type_) in zip(arguments, feeds, strict=True)
        ],
        "OUTPUTS": [
            (column, _type_of(function, column, type_).result)
            for column, type_ in zip(function.columns, function.predictions.types, strict=True)
        ],
        "METHOD": _method_of(function, spec),
        "FEEDS": _tensors(function, spec),
        "MODEL": base64.b64encode(zlib.compress(model, 9)).decode(),
    }
    # Two dollar signs end the body wherever they are, so none is left in the literals.
    constants = "".join(f"{name} = {value!r}\n".replace("$", r"\x24") for name, value in values.items())
    handler = (files("sparkscore.sql") / "unity_handler.py").read_text(encoding="utf-8")
    # Such an import must come first, and it is not known where Databricks puts the body.
    handler = handler.replace("from __future__ import annotations\n\n", "")
    return (
        f"{handler}\n\nimport base64\nimport io\nimport zlib\n\n{constants}\n\ndef load():\n"
        f"    data = zlib.decompress(base64.b64decode(MODEL)){_LOADERS[_format_of(function)]}    return predict\n\n\n"
        f"score = Scorer(ARGUMENTS, OUTPUTS, {function.model_version!r}, load, raises={function.raises}).score\n"
    )


def _feeds_of(
    function: SqlFunction, spec: FrameworkSpec | OnnxSpec, arguments: Sequence[Argument]
) -> list[tuple[str, pa.DataType]]:
    """Return for each argument the name and the type with which the model takes it.

    Raises:
        ConfigError: a value could change on the way, or the type has no counterpart.
    """
    by_column = {column: feed for feed in spec.feeds or () for column in feed.columns}
    found = []
    for each in arguments:
        feed = by_column.get(each.name)
        _type_of(function, each.name, each.type)
        wanted = each.type if feed is None or feed.type is None else feed.type
        rounds = feed is not None and feed.rounds and each.type == pa.float64() and wanted == pa.float32()
        if each.type not in {wanted, *_WIDER.get(wanted, ())} and not rounds:
            _unsupported(
                function, f"argument '{each.name}' of type {each.type} for {wanted}", "the type that the model takes"
            )
        if each.type == pa.string() and _format_of(function) in _NO_TEXT:
            _unsupported(
                function, f"the text argument '{each.name}'", "numbers, since categories are not in the statement"
            )
        is_column = feed is not None and feed.name is not None and isinstance(spec, FrameworkSpec)
        found.append((feed.name if is_column and feed is not None and feed.name else each.name, wanted))
    return found


def _tensors(
    function: SqlFunction, spec: FrameworkSpec | OnnxSpec
) -> list[tuple[str | None, list[str], str, tuple[int, ...]]]:
    """Return for each tensor of an ONNX graph its name, its columns, its dtype and its shape."""
    return [_tensor(function, feed) for feed in spec.feeds or ()] if isinstance(spec, OnnxSpec) else []


def _tensor(function: SqlFunction, feed: Feed) -> tuple[str | None, list[str], str, tuple[int, ...]]:
    if feed.type not in _TYPES or feed.shape is None:
        _unsupported(function, f"input '{feed.name}' of type {feed.type}", "tensors of numbers or texts")
    shape = (-1, *(size if size > 0 else 1 for size in feed.shape[1:]))
    return feed.name, list(feed.columns), _TYPES[feed.type].argument, shape


def _method_of(function: SqlFunction, spec: FrameworkSpec | OnnxSpec) -> object:
    if isinstance(spec, OnnxSpec):
        outputs = {column: output for output, column in spec.outputs}
        if unknown := set(function.predictions.names) - set(outputs):
            _unsupported(function, f"columns {names(unknown)} in 'output.schema'", "outputs of the graph")
        return [outputs[column] for column in function.predictions.names]
    if (
        spec.params
        or len(spec.predict_fn) > 1
        or (spec.framework != "sklearn" and spec.predict_fn not in {(), ("predict",)})
    ):
        _unsupported(
            function, "'model.params', or 'model.predict_fn' with other methods", "one method without parameters"
        )
    return (spec.predict_fn or ("predict",))[0]


def _type_of(function: SqlFunction, column: str, type_: pa.DataType) -> _Type:
    if type_ not in _TYPES:
        _unsupported(function, f"column '{column}' of type {type_}", "numbers, texts and booleans")
    return _TYPES[type_]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def literal_of(value: object) -> str:
    """Return a value of Python as a literal of SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, float):
        return f"{value!r}D" if math.isfinite(value) else f"DOUBLE('{value}')"
    return str(value)


def _unsupported(function: SqlFunction, got: str, expected: str) -> NoReturn:
    _refuse(
        f"function '{function.name}' as a statement for Unity Catalog",
        got,
        expected,
        "Register the function in the session with sparkscore.register_function instead.",
        ErrorCode.SQL_UNSUPPORTED,
    )


def _refuse(what: str, got: str, expected: str, next_step: str, code: ErrorCode) -> NoReturn:
    raise ConfigError(code=code, what=what, got=got, expected=expected, state=_STATE, next_step=next_step)
