"""Score mini-batches with ONNX Runtime on the workers, and check graphs and session options on the driver.

Rows become tensors, and the graph's outputs become columns. No other module imports ONNX Runtime, so the driver's
checks that need it are here as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, MissingDependencyError, OutputContractError, names
from sparkscore.minibatch import MiniBatch
from sparkscore.outcome import describe_failure
from sparkscore.returned import NamedColumns
from sparkscore.returned.shapes import PREDICTION
from sparkscore.scorers.failed import PartlyScored, ScorerFailedError
from sparkscore.scorers.feed import feed_tensor
from sparkscore.scorers.images import feed_images
from sparkscore.scorers.model_files import fetch_model
from sparkscore.scorers.specs import OnnxSpec

if TYPE_CHECKING:  # the package is an extra
    from onnxruntime import InferenceSession, SessionOptions

_CPU: Final = "CPUExecutionProvider"
#: The level at which ONNX Runtime logs only fatal errors. At other levels, it writes values from rows to the worker's
#: log, for example an index that is out of bounds. Errors are raised at any level.
_ONLY_FATAL: Final = 4
_TELEMETRY_OFF: Final = "ORT_DISABLE_TELEMETRY"

Tensor = npt.NDArray[Any]


class OnnxScorer:
    """A scorer that runs an ONNX graph with ONNX Runtime.

    Attributes:
        verified: digest of the model's files, once it has been checked on this host. Empty until then.
    """

    def __init__(self, spec: OnnxSpec) -> None:
        self.verified: tuple[str, ...] = ()
        self._spec = spec
        self._session: InferenceSession | None = None

    def load(self) -> None:
        """Copy the model to this host and load it into an ONNX Runtime session.

        Raises:
            MissingDependencyError: ONNX Runtime is not installed on this worker.
            ConfigError: an execution provider is not available on this host, a session option is unknown, or its value
                is invalid.
            ModelError: the model cannot be copied, or its files have changed.
            ScorerFailedError: ONNX Runtime cannot load the graph.
        """
        spec = self._spec
        onnxruntime = _require_runtime()
        check_session(spec.providers, dict(spec.session_options))
        path = fetch_model(spec.files) / spec.graph
        self.verified = (spec.files.sha256,)
        providers = list(spec.providers or [_CPU])
        options = _make_options(spec.threads, dict(spec.session_options))
        with _reporting(ErrorCode.MODEL_LOAD):
            # The fallback is disabled, because it prints a message and uses a provider that the deployment does not
            # list.
            session = onnxruntime.InferenceSession(path, options, providers, enable_fallback=0)
        lacking = set(providers) - set(session.get_providers())
        if lacking:
            raise _provider_error(lacking, session.get_providers())
        self._session = session

    def score(self, mini_batch: MiniBatch) -> object:
        """Run the graph on the rows or images of a mini-batch, and return its outputs.

        The graph gets all rows at once, unless it takes a fixed number of rows. If any images cannot be read or
        decoded, a `PartlyScored` is returned, with outputs for any remaining images.

        Raises:
            ScorerFailedError: ONNX Runtime raised an error.
            SignatureMismatchError: a value cannot be converted to the type of the graph's input, or a row does not have
                the input's shape.
            OutputContractError: an output does not have exactly one element per row.
            MissingDependencyError: images must be decoded, but the ``pillow`` package is not installed.
        """
        if mini_batch.rows is not None:
            feeds = {str(feed.name): feed_tensor(mini_batch.rows, feed) for feed in self._spec.feeds}
            return self._run_on(feeds, mini_batch.item_count)
        (feed,) = self._spec.feeds
        images, failures = feed_images(mini_batch.files, feed)
        readable = len(mini_batch.files) - len(failures)
        returned = self._run_on({str(feed.name): np.asarray(images)}, readable) if readable else []
        return PartlyScored(returned, failures) if failures else returned

    def close(self) -> None:
        """Release the ONNX Runtime session."""
        self._session = None

    def _run_on(self, feeds: dict[str, Tensor], rows: int) -> object:
        size = max((feed.shape[0] for feed in self._spec.feeds if feed.shape), default=-1)
        parts = [self._run(part, count) for part, count in _parts(feeds, rows, size if size > 0 else rows)]
        columns = [column for _, column in self._spec.outputs]
        values = dict(zip(columns, map(_join, zip(*parts, strict=True)), strict=True))
        return values[PREDICTION] if columns == [PREDICTION] else NamedColumns(values)

    def _run(self, feeds: dict[str, Tensor], count: int) -> list[Any]:
        """Run the graph once and return its outputs.

        Args:
            feeds: the tensor for each of the graph's inputs, by input name.
            count: number of rows to return. Any further rows are copies of the last one, added only to fill the
                tensors, so their outputs are dropped.
        """
        if self._session is None:
            raise RuntimeError("the scorer is not loaded")
        outputs = [output for output, _ in self._spec.outputs]
        with _reporting(ErrorCode.MODEL_PREDICT):
            found = self._session.run(outputs, feeds)
        given = len(next(iter(feeds.values())))
        return [_rows_of(value, given, output)[:count] for value, output in zip(found, outputs, strict=True)]


def check_session(providers: Sequence[str], session_options: Mapping[str, object]) -> None:
    """Raise an error if the installed ONNX Runtime lacks an execution provider or rejects a session option.

    Runs on the driver and on the worker. If ONNX Runtime is not installed, nothing is checked.

    Some mistakes are not detected here. ONNX Runtime itself reports these when the session is created, if at all:

    - numbers that are out of range, such as ``log_severity_level: 99``
    - wrong names or values of configuration entries, which are the options with a dot in their name, such as
      ``session.intra_op.allow_spinning``

    Args:
        providers: names of execution providers.
        session_options: values of session options, by option name.

    Raises:
        ConfigError: a provider is not available (code ``ONNX_PROVIDER``), an option is unknown, or an option's value
            has the wrong type or is not one of the option's named values (code ``ONNX_SESSION_OPTION``). The message
            lists what is available or expected.
    """
    onnxruntime = _find_runtime()
    if onnxruntime is None:
        return
    available = onnxruntime.get_available_providers()
    if unknown := set(providers) - set(available):
        raise _provider_error(unknown, available)
    _make_options(1, session_options)


def accepts_graph(graph: bytes) -> bool:
    """Return whether ONNX Runtime can load a graph, or True if ONNX Runtime is not installed.

    Runs on the driver.

    Args:
        graph: the content of an ONNX model file.
    """
    onnxruntime = _find_runtime()
    if onnxruntime is None:
        return True
    try:
        onnxruntime.InferenceSession(graph, _make_options(1, {}), [_CPU], enable_fallback=0)
    except Exception:  # noqa: BLE001 - ONNX Runtime's errors have no common class
        return False
    return True


def _find_runtime() -> Any | None:
    """Import ONNX Runtime with its telemetry off, and return it, or None if it is not installed."""
    with _no_telemetry():
        try:
            import onnxruntime
        except ImportError:
            return None
    # For versions that do not know the variable, and for a process that has already imported ONNX Runtime.
    onnxruntime.disable_telemetry_events()
    return onnxruntime


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Turn off ONNX Runtime's telemetry in a ``with`` block that imports ONNX Runtime.

    If the user has not set the environment variable for this, it is set for the block, and removed afterwards. ONNX
    Runtime reads the variable only during the import. If the variable is not set, the import writes a file with an id
    of this machine below the home directory, or prints a warning if the file cannot be written.

    Source: docs/Privacy.md of ONNX Runtime.
    """
    is_set = _TELEMETRY_OFF in os.environ
    os.environ.setdefault(_TELEMETRY_OFF, "1")
    try:
        yield
    finally:
        if not is_set:
            os.environ.pop(_TELEMETRY_OFF, None)


def _require_runtime() -> Any:
    onnxruntime = _find_runtime()
    if onnxruntime is None:
        raise MissingDependencyError(
            code=ErrorCode.MISSING_PACKAGE,
            what="package 'onnxruntime', which runs ONNX models, is not installed on the worker",
            next_step="Install it there: pip install 'sparkscore[onnx]'.",
        )
    return onnxruntime


def _make_options(threads: int, chosen: Mapping[str, object]) -> SessionOptions:
    """Return the options for an ONNX Runtime session.

    Unless the deployment's options say otherwise, the session runs one operator at a time and logs only fatal errors.

    Args:
        threads: number of threads that compute one operator.
        chosen: the deployment's session options, by name.

    Raises:
        ConfigError: an option is unknown, or its value has the wrong type or is not one of the option's named values.
            `check_session` lists mistakes that are not detected.
        MissingDependencyError: ONNX Runtime is not installed.
    """
    onnxruntime = _require_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ONLY_FATAL
    for name, value in chosen.items():
        _set_option(options, name, value)
    return options


def _set_option(options: SessionOptions, name: str, value: object) -> None:
    if "." in name:
        options.add_session_config_entry(name, _entry_text(value))
        return
    class_ = type(options)
    known = [attribute for attribute in dir(class_) if isinstance(getattr(class_, attribute), property)]
    if name not in known:
        raise _option_error(f"session option '{name}'", "an unknown name", f"one of {', '.join(known)}")
    members = getattr(type(getattr(options, name)), "__members__", None)
    if members is not None:
        if str(value) not in members:
            raise _option_error(f"session option '{name}'", f"'{value}'", f"one of {', '.join(members)}")
        value = members[str(value)]
    try:
        setattr(options, name, value)
    except TypeError:
        expected = type(getattr(options, name)).__name__
        raise _option_error(f"session option '{name}'", type(value).__name__, expected) from None


def _entry_text(value: object) -> str:
    """Convert the value of an ONNX Runtime configuration entry to a string. True becomes "1", False becomes "0"."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _parts(feeds: dict[str, Tensor], rows: int, size: int) -> Iterator[tuple[dict[str, Tensor], int]]:
    """Split tensors into parts of equal size.

    If the last part has too few rows, it is padded with copies of the last row.

    Args:
        feeds: the tensor for each of the graph's inputs, by input name.
        rows: number of rows in each tensor.
        size: number of rows in each part.

    Yields:
        the tensors of a part, and the number of its rows before padding.
    """
    for start in range(0, rows, size):
        count = min(size, rows - start)
        yield {name: _fill(tensor[start : start + count], size) for name, tensor in feeds.items()}, count


def _fill(tensor: Tensor, size: int) -> Tensor:
    lacking = size - len(tensor)
    return np.concatenate([tensor, np.repeat(tensor[-1:], lacking, axis=0)]) if lacking else tensor


def _rows_of(value: Any, rows: int, output: str) -> Any:
    """Check that one of the graph's outputs has one element per row, and return its elements.

    Args:
        value: the output: a tensor, a list of dictionaries or tensors, or None if an optional output has no value. In
            the last case, None is returned for each row.
        rows: number of rows that were passed to the graph.
        output: name of the output, for the error message.

    Raises:
        OutputContractError: the number of elements differs from the number of rows.
    """
    if value is None:  # an optional output without a value
        return [None] * rows
    is_list = isinstance(value, list)
    found = len(value) if is_list or value.ndim else 0
    if found != rows:
        raise OutputContractError(
            code=ErrorCode.OUTPUT_ROWS,
            what=f"output '{output}' of the ONNX graph",
            got=f"{found} elements for {rows} rows",
            expected="one element per row",
            state="No row of this mini-batch was written.",
            next_step="Export the model with outputs whose first dimension is that of the rows.",
        )
    # item[()] converts a zero-dimensional array to a scalar, and returns any other array unchanged.
    return [item[()] if isinstance(item, np.ndarray) else item for item in value] if is_list else value


def _join(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return list(chain.from_iterable(parts))


@contextmanager
def _reporting(code: ErrorCode) -> Iterator[None]:
    """Replace exceptions that ONNX Runtime raises in the ``with`` block with a `ScorerFailedError`.

    Args:
        code: code of the failure, which depends on whether the model is being loaded or is scoring.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common class
        raise ScorerFailedError(describe_failure(error, code)) from None


def _provider_error(unknown: set[str], available: Sequence[str]) -> ConfigError:
    return ConfigError(
        code=ErrorCode.ONNX_PROVIDER,
        what=f"'model.providers' {names(unknown)}",
        got="not in the installed ONNX Runtime",
        expected=f"among {', '.join(available)}",
        next_step="Correct 'model.providers', or install the onnxruntime package that has it (onnxruntime-gpu …).",
    )


def _option_error(what: str, got: str, expected: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.ONNX_SESSION_OPTION,
        what=what,
        got=got,
        expected=expected,
        next_step="Correct 'model.session_options'.",
    )
