"""Map error codes to error classes. Runs on the driver and the workers.

A worker reports a failure as an error code and strings, not as an exception. The code determines the class of the
exception that is raised on the driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import (
    ConfigError,
    EnvironmentMismatchError,
    MiniBatchTimeoutError,
    MissingDependencyError,
    ModelError,
    ModelLoadError,
    ModelNotFoundError,
    OutputContractError,
    ScoringError,
    ScoringScriptError,
    SignatureMismatchError,
    SourceError,
    SourceSchemaError,
    SparkscoreError,
)

_CODES: Final[Mapping[type[SparkscoreError], Iterable[ErrorCode]]] = {
    ConfigError: (
        ErrorCode.ONNX_PROVIDER,
        ErrorCode.ONNX_SESSION_OPTION,
        ErrorCode.OUTPUT_SCHEMA,
        ErrorCode.SQL_ARGUMENTS,
        ErrorCode.SQL_UNSUPPORTED,
    ),
    EnvironmentMismatchError: (
        ErrorCode.ENVIRONMENT_MISMATCH,
        ErrorCode.PACKAGE_MISSING,
        ErrorCode.PYTHON_ARCHIVE,
        ErrorCode.PYTHON_NOT_FOUND,
        ErrorCode.PYTHON_PACKAGES,
        ErrorCode.PYTHON_VERSION,
    ),
    MiniBatchTimeoutError: (ErrorCode.LOAD_TIMEOUT, ErrorCode.MINI_BATCH_TIMEOUT),
    MissingDependencyError: (ErrorCode.MISSING_PACKAGE,),
    ModelError: (
        ErrorCode.MODEL_CACHE,
        ErrorCode.MODEL_CHANGED,
        ErrorCode.MODEL_FETCH,
        ErrorCode.MODEL_NAME,
        ErrorCode.MODEL_PREDICT,
        ErrorCode.MODEL_REGISTRY,
        ErrorCode.MODEL_VERSION,
    ),
    ModelLoadError: (ErrorCode.MODEL_CATEGORIES, ErrorCode.MODEL_LOAD, ErrorCode.MODEL_METHOD),
    ModelNotFoundError: (ErrorCode.MODEL_NOT_FOUND,),
    OutputContractError: (
        ErrorCode.OUTPUT_ALL_NULL,
        ErrorCode.OUTPUT_COLUMNS,
        ErrorCode.OUTPUT_KIND,
        ErrorCode.OUTPUT_NULL,
        ErrorCode.OUTPUT_ORDER,
        ErrorCode.OUTPUT_PARTITION_VALUE,
        ErrorCode.OUTPUT_ROWS,
        ErrorCode.OUTPUT_SHAPE,
        ErrorCode.OUTPUT_TYPE,
        ErrorCode.OUTPUT_UNREADABLE,
    ),
    ScoringScriptError: (
        ErrorCode.SCRIPT_FOLDER,
        ErrorCode.SCRIPT_IMPORT,
        ErrorCode.SCRIPT_INIT,
        ErrorCode.SCRIPT_NAME,
        ErrorCode.SCRIPT_NOT_FOUND,
        ErrorCode.SCRIPT_NO_RUN,
        ErrorCode.SCRIPT_ONLINE,
        ErrorCode.SCRIPT_PARAMETERS,
        ErrorCode.SCRIPT_RUN,
        ErrorCode.SCRIPT_SYNTAX,
    ),
    SignatureMismatchError: (
        ErrorCode.IMAGE_DEPTH,
        ErrorCode.IMAGE_SIZE,
        ErrorCode.MODEL_INPUT,
        ErrorCode.MODEL_INPUT_VALUE,
        ErrorCode.MODEL_PARAMS,
        ErrorCode.SIGNATURE_MISMATCH,
    ),
    SourceError: (ErrorCode.INPUT_NOT_SEEN,),
    SourceSchemaError: (
        ErrorCode.INPUT_INEXACT,
        ErrorCode.INPUT_NULL,
        ErrorCode.SQL_ARGUMENT_TYPE,
        ErrorCode.SQL_ARGUMENT_VALUE,
    ),
}
_CLASSES: Final = {code: error_class for error_class, codes in _CODES.items() for code in codes}


def error_class_of(code: ErrorCode) -> type[SparkscoreError]:
    """Return the error class for a code, which is `ScoringError` unless the code is listed for another class.

    >>> error_class_of(ErrorCode.OUTPUT_ROWS).__name__, error_class_of(ErrorCode.PROCESS_ENDED).__name__
    ('OutputContractError', 'ScoringError')
    """
    return _CLASSES.get(code, ScoringError)
