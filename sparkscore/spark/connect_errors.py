"""Convert exceptions to sparkscore errors if the Spark Connect server was lost or refused the token.

Runs on the driver. This module can be imported without the packages that PySpark's Spark Connect client needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pyspark.errors import PySparkException

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import NOTHING_WRITTEN, ConfigError, ScoringError, SparkscoreError

#: Codes of errors that this module returns.
OF_CONNECT: Final = frozenset({ErrorCode.CONNECT_SERVER_LOST, ErrorCode.CONNECT_TOKEN, ErrorCode.CONNECT_URL})

# gRPC's texts for a server that was not reached, and the phrases shown instead. The first match is used.
_REASONS: Final = (
    ("Connection refused", "no server at this address"),
    ("Domain name not found", "a host name that is not known"),
    ("lookup error", "a host name that cannot be looked up"),
    ("timed out", "no answer in time"),
)
_TLS: Final = "handshake failed"
_STATUS_IN_TEXT: Final = re.compile(r"<_\w+ of RPC that terminated with:\s+status = StatusCode\.(\w+)")
# Spark's error conditions for a session or operation that the server does not know, because the server was restarted.
_FORGOTTEN: Final = re.compile(
    r"INVALID_HANDLE\.(SESSION_(NOT_FOUND|CHANGED|CLOSED)|OPERATION_(NOT_FOUND|ABANDONED))"
    r"|RESPONSE_ALREADY_RECEIVED|NO_ACTIVE_SESSION"
)


def is_final(error: BaseException) -> bool:
    """Return whether a request failed in the TLS handshake, in which case retrying it is pointless."""
    return _TLS in str(error)


def connect_error_behind(error: BaseException | None, server: str = "", run_id: str = "") -> SparkscoreError | None:
    """Return the sparkscore error for a lost Spark Connect server or a refused token, or None for any other exception.

    The causes of the exception are searched too, because another module may have converted the original exception.

    Args:
        error: the exception that was caught.
        server: the server's host, for the message, or an empty string.
        run_id: id of the run to resume, for the message, or an empty string if no run has begun.
    """
    for each in _chain(error):
        if isinstance(each, SparkscoreError) and each.code in OF_CONNECT:
            return each
        status = _status_of(each)
        if status == "UNAUTHENTICATED":
            return _refused_token(server)
        if status == "UNAVAILABLE":
            return _without_tls(server) if _TLS in str(each) else _lost_server(_reason_in(str(each)), server, run_id)
        if _is_of_lost_session(each):
            return _lost_server("a server that does not know this session, as after a restart", server, run_id)
    return None


def no_answer(error: Exception, server: str) -> ScoringError:
    """Return the sparkscore error for a server that does not answer the first request as Spark Connect servers do.

    Args:
        error: the exception that the request raised.
        server: the server's host, for the message.
    """
    status = _status_of(error) or type(error).__name__
    return _lost_server(f"the answer {status}, which is not that of a Spark Connect server", server, "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status_of(error: BaseException) -> str:
    """Return the name of an exception's gRPC status, such as ``UNAVAILABLE``, or an empty string if it has none."""
    if not type(error).__module__.startswith(("grpc", "pyspark.errors.exceptions.connect")):
        return ""
    read = getattr(error, "getGrpcStatusCode", None) or getattr(error, "code", None)
    if callable(read):
        return str(getattr(read(), "name", ""))
    found = _STATUS_IN_TEXT.match(str(error))  # PySpark 4.0 keeps the text only
    return found[1] if found else ""


def _is_of_lost_session(error: BaseException) -> bool:
    if isinstance(error, PySparkException):
        return _FORGOTTEN.fullmatch(error.getCondition() or "") is not None
    return isinstance(error, ValueError) and str(error).startswith("Cannot invoke RPC")  # by gRPC, on a closed channel


def _reason_in(text: str) -> str:
    return next((reason for sign, reason in _REASONS if sign in text), "no connection")


def _lost_server(reason: str, server: str, run_id: str) -> ScoringError:
    again = f"resume the run with 'sparkscore resume {run_id}'" if run_id else "run again"
    return ScoringError(
        code=ErrorCode.CONNECT_SERVER_LOST,
        what=f"the Spark Connect server{_quoted(server)} does not answer",
        got=reason,
        state=NOTHING_WRITTEN,
        next_step="Check the address, or start the server again. Then, with a new session (in a notebook, after a "
        f"restart of its kernel), {again}.",
    )


def _refused_token(server: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.CONNECT_TOKEN,
        what=f"the Spark Connect server{_quoted(server)} refuses the token",
        got="another token than the server's, or none",
        expected="the value of the server's setting spark.connect.authenticate.token",
        next_step="Set the variable SPARK_CONNECT_AUTHENTICATE_TOKEN to it, and start a new Python process.",
    )


def _without_tls(server: str) -> ConfigError:
    return ConfigError(
        code=ErrorCode.CONNECT_URL,
        what=f"the connection to the Spark Connect server{_quoted(server)}",
        got="a server without TLS",
        expected="TLS, which PySpark uses if there is a token, unless the host is 'localhost'",
        next_step="On the server's own machine, write 'sc://localhost:PORT'. For another host, use a tunnel to "
        "localhost (ssh -L 15002:localhost:15002 HOST), or a proxy with TLS before the server.",
    )


def _quoted(server: str) -> str:
    return f" '{server}'" if server else ""
