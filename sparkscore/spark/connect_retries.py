"""Give up on a Spark Connect server that has been unreachable for some seconds.

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

    PySpark's default policy retries such a request for ten minutes or more, without a message. Requests to a slow
    server are not affected, because they do not fail. If the server asks its clients to wait, PySpark's policy decides.

    Attributes:
        patience_s: number of seconds after which a failing request is given up.
        is_lost: whether a request was given up. Later requests that do not reach the server then fail at once.
    """

    def __init__(self, patience_s: float) -> None:
        """Create a policy that retries a request until it has been failing for `patience_s` seconds."""
        super().__init__(initial_backoff=_FIRST_WAIT_MS, max_backoff=_LONGEST_WAIT_MS, backoff_multiplier=2.0)
        self.patience_s = patience_s
        self.is_lost = False

    def can_retry(self, exception: BaseException) -> bool:
        """Return whether a call can be retried, that is, whether the exception says that the server was not reached."""
        is_unreached = isinstance(exception, grpc.RpcError) and exception.code() == grpc.StatusCode.UNAVAILABLE
        return is_unreached and not _asks_to_wait(exception)

    def to_state(self) -> RetryPolicyState:
        """Return an object that decides on the retries of one request."""
        return _OneRequest(self)


class _OneRequest(RetryPolicyState):
    """Tracks how long one request has been failing, and decides whether and when it is sent again."""

    def __init__(self, policy: UnreachableServer) -> None:
        super().__init__(policy)
        self._unreachable = policy
        self._failing_since: float | None = None
        self._failure: BaseException | None = None

    def can_retry(self, exception: BaseException) -> bool:
        """Return whether the request can be retried, that is, whether the exception says the server was not reached.

        The exception is kept, so that `next_attempt` can raise it.
        """
        self._failure = exception
        return super().can_retry(exception)

    def next_attempt(self, *_: object) -> int | None:
        """Return how many milliseconds to wait before the next retry, or raise the request's exception to give up."""
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
    """Return whether the server answered and asked the client to try again later."""
    find = getattr(retries, "extract_retry_info", None)  # PySpark 4.0 does not have this function
    return find is not None and find(exception) is not None
