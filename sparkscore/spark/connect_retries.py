"""Give up on a Spark Connect server that cannot be reached for some seconds.

Runs on the driver. This module needs the packages of PySpark's Spark Connect client, so it is imported only for a Spark
Connect session.
"""

from __future__ import annotations

import time

import grpc
from pyspark.sql.connect.client import retries
from pyspark.sql.connect.client.retries import RetryPolicy, RetryPolicyState

from sparkscore.spark.connect_errors import is_final

_FIRST_WAIT_MS = 100
_LONGEST_WAIT_MS = 2000


class UnreachableServer(RetryPolicy):
    """A retry policy for requests that do not reach the server, for example because its process has died.

    PySpark's default policy retries such a request for ten minutes or more, without a message. A server that is slow,
    or that asks its clients to wait, is not affected: its requests do not fail, or are retried by PySpark's policy.

    Attributes:
        is_lost: whether a request was given up. All further requests that do not reach the server then fail at once.
    """

    def __init__(self, patience_s: float) -> None:
        """Retry a request until it has failed for this number of seconds."""
        super().__init__(initial_backoff=_FIRST_WAIT_MS, max_backoff=_LONGEST_WAIT_MS, backoff_multiplier=2.0)
        self.patience_s = patience_s
        self.is_lost = False

    def can_retry(self, exception: BaseException) -> bool:
        """Return whether the exception says that the server was not reached."""
        is_unreached = isinstance(exception, grpc.RpcError) and exception.code() == grpc.StatusCode.UNAVAILABLE
        return is_unreached and not _asks_to_wait(exception)

    def to_state(self) -> RetryPolicyState:
        """Return the state of the retries of one request."""
        return _OneRequest(self)


class _OneRequest(RetryPolicyState):
    """The retries of one request."""

    def __init__(self, policy: UnreachableServer) -> None:
        super().__init__(policy)
        self._unreachable = policy
        self._failing_since: float | None = None
        self._failure: BaseException | None = None

    def can_retry(self, exception: BaseException) -> bool:
        """Return whether the exception says that the server was not reached."""
        self._failure = exception
        return super().can_retry(exception)

    def next_attempt(self, *_: object) -> int | None:
        """Return the milliseconds to wait before the next attempt, or raise the exception to give up."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        is_over = self._unreachable.is_lost or now - self._failing_since > self._unreachable.patience_s
        if self._failure is not None and (is_over or is_final(self._failure)):
            self._unreachable.is_lost = True
            # If this method returned None, PySpark would warn on stderr, and 4.0 would ask the next policy.
            raise self._failure
        return super().next_attempt()


def _asks_to_wait(exception: BaseException) -> bool:
    """Return whether the server has answered that the client should try again later."""
    find = getattr(retries, "extract_retry_info", None)  # PySpark 4.0 does not know such answers
    return find is not None and find(exception) is not None
