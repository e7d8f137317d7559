"""Helpers for Spark Connect sessions: detect that the server is lost, and cancel an interrupted run's operations.

Runs on the driver, which is the Spark Connect client. All functions also accept a classic session, which they do not
change.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from pyspark.sql import SparkSession

from sparkscore.redaction import remember_values
from sparkscore.spark.connect_errors import connect_error_behind, no_answer
from sparkscore.spark.errors import SPARK_ERRORS, interrupt_behind

if TYPE_CHECKING:
    from sparkscore.spark.connect_retries import UnreachableServer

#: Seconds after which a server that cannot be reached counts as lost while a run is in progress.
PATIENCE_S: Final = 20.0
#: The same at the start of a run.
PATIENCE_AT_START_S: Final = 5.0
_TAG: Final = "sparkscore-"
_TRIES_TO_CANCEL: Final = 5
_PAUSE_S: Final = 0.2


def is_connect(spark: SparkSession) -> bool:
    """Return whether this is a Spark Connect session."""
    return type(spark).__module__.startswith("pyspark.sql.connect.")


def server_of(spark: SparkSession) -> str:
    """Return the host of a session's Spark Connect server, or an empty string for a classic session."""
    return str(spark.client.host) if is_connect(spark) else ""


@contextmanager
def working_on(spark: SparkSession) -> Iterator[None]:
    """Detect a lost server, and cancel operations after an interrupt, while the ``with`` block uses a session.

    A classic session is used without these checks. For a Spark Connect session:

    - Before the block, the server must answer and accept the token.
    - In the block, an error is raised if the server cannot be reached for `PATIENCE_S` seconds. PySpark alone would
      retry for ten minutes or more.
    - If the block is interrupted, the operations that it started on the server are cancelled. The session's other
      operations continue.

    Args:
        spark: the session.

    Raises:
        ScoringError: the server cannot be reached, or was restarted (code ``CONNECT_SERVER_LOST``).
        ConfigError: the server refuses the token, or has no TLS although PySpark uses it for this connection.
    """
    if not is_connect(spark):
        yield
        return
    # The token may be in the text of an exception or a log.
    remember_values(filter(None, (spark.client.token,)))
    # Tags belong to a thread: Spark adds them to all operations that the thread starts.
    tag = f"{_TAG}{uuid.uuid4().hex}"
    with _named_errors(spark), _short_patience(spark) as policy:
        _ask(spark)
        policy.patience_s = PATIENCE_S
        spark.addTag(tag)
        try:
            yield
        except BaseException as error:
            if interrupt_behind(error) is not None:
                cancel_operations(spark)
            raise
        finally:
            spark.removeTag(tag)


def _ask(spark: SparkSession) -> None:
    """Raise an error if the session's server does not answer a request for its version."""
    try:
        _ = spark.version
    except SPARK_ERRORS as error:
        if connect_error_behind(error) is not None:
            raise
        raise no_answer(error, server_of(spark)) from error


@contextmanager
def _named_errors(spark: SparkSession) -> Iterator[None]:
    """In the ``with`` block, convert exceptions caused by a lost server or a refused token to sparkscore errors."""
    try:
        yield
    except Exception as error:
        named = connect_error_behind(error, server_of(spark))
        if named is None or named is error:
            raise
        raise named from error


def cancel_operations(spark: SparkSession) -> None:
    """Cancel the operations that this thread has started on the server in the current `working_on` block.

    For a classic session, do nothing, because PySpark itself cancels the session's jobs.
    """
    tags = [tag for tag in spark.getTags() if tag.startswith(_TAG)] if is_connect(spark) else []
    for _ in range(_TRIES_TO_CANCEL if tags else 0):
        with suppress(Exception):  # the server may be lost; the caller raises the interrupt anyway
            if [operation for tag in tags for operation in spark.interruptTag(tag)]:
                return
        # An operation that has just been sent may not be known to the server yet.
        time.sleep(_PAUSE_S)


@dataclass
class _Installed:
    """A retry policy that was added to the policies of a Spark Connect client.

    Attributes:
        policy: the added policy.
        former: the client's policies before this one was added.
        users: number of running ``with`` blocks that use the added policy.
    """

    policy: UnreachableServer
    former: list[Any]
    users: int = 0


_lock = threading.Lock()
_installed: WeakKeyDictionary[Any, _Installed] = WeakKeyDictionary()


@contextmanager
def _short_patience(spark: SparkSession) -> Iterator[UnreachableServer]:
    """Make the session's client give up earlier on an unreachable server in the ``with`` block.

    A retry policy is added to the client, and removed after the block. If the server was lost, the policy is kept.
    Without it, the client would retry for ten minutes or more when the process ends.
    """
    from sparkscore.spark.connect_retries import UnreachableServer  # noqa: PLC0415 - needs the packages of the client

    client = spark.client
    with _lock:
        found = _installed.get(client)
        if found is None or found.policy.is_lost:
            former = client.get_retry_policies() if found is None else found.former
            found = _installed[client] = _Installed(UnreachableServer(PATIENCE_AT_START_S), former)
            client.set_retry_policies([found.policy, *former])
        found.users += 1
    try:
        yield found.policy
    finally:
        with _lock:
            found.users -= 1
            if not found.users and not found.policy.is_lost and _installed.get(client) is found:
                del _installed[client]
                client.set_retry_policies(found.former)
