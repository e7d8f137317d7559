"""A Spark Connect session without a server, or with one that is lost. Nothing listens at its port."""

from __future__ import annotations

import socket
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from pyspark.errors import PySparkException
from pyspark.errors.exceptions.connect import PythonException, SparkConnectGrpcException
from pyspark.sql.connect.client.retries import RetryPolicyState
from pyspark.sql.connect.session import SparkSession

from sparkscore.error_codes import ErrorCode
from sparkscore.errors import ConfigError, ScoringError, SourceError, SparkscoreError
from sparkscore.redaction import redact
from sparkscore.spark import connect
from sparkscore.spark.connect import cancel_operations, is_connect, working_on
from sparkscore.spark.connect_errors import connect_error_behind
from sparkscore.spark.connect_retries import UnreachableServer
from sparkscore.spark.endings import ending_of
from sparkscore.spark.settings import pinned_settings, setting_of
from sparkscore.stage.ending import Ending


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A session of a server that is not there."""
    monkeypatch.setattr(connect, "PATIENCE_AT_START_S", 0.5)
    monkeypatch.setattr(connect, "PATIENCE_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        session = SparkSession(f"sc://localhost:{taken.getsockname()[1]}/;token=the-token-of-ada")
        yield session
        session.client.close()


def unavailable(text: str = "Connection refused") -> SparkConnectGrpcException:
    return SparkConnectGrpcException(message=text, grpc_status_code=grpc.StatusCode.UNAVAILABLE)


def test_a_server_that_is_not_there_is_named_at_the_start_and_without_a_warning(nobody: Any) -> None:
    started = time.monotonic()

    with warnings.catch_warnings(), pytest.raises(ScoringError) as lost, working_on(nobody):
        pytest.fail("the server did not answer")

    assert time.monotonic() - started < 10
    assert lost.value.code == ErrorCode.CONNECT_SERVER_LOST
    assert str(lost.value).startswith(
        "[CONNECT_SERVER_LOST] the Spark Connect server 'localhost' does not answer: got no server at this address. "
    )
    assert redact("the-token-of-ada") != "the-token-of-ada"


def test_after_a_loss_the_session_fails_at_once_so_that_the_process_can_end(nobody: Any) -> None:
    with pytest.raises(ScoringError), working_on(nobody):
        pass
    started = time.monotonic()

    with pytest.raises(SparkConnectGrpcException):
        _ = nobody.version

    assert time.monotonic() - started < 1


def test_a_setting_is_not_taken_for_unset_when_the_server_is_lost(nobody: Any) -> None:
    policies = nobody.client.get_retry_policies()
    nobody.client.set_retry_policies([UnreachableServer(0.1), *policies])

    with pytest.raises(PySparkException):
        setting_of(nobody, "spark.sql.ansi.enabled")
    with pytest.raises(PySparkException), pinned_settings(nobody):
        pytest.fail("the settings are not pinned")


class Answering:
    """A session whose server answers, and which notes what it is asked to cancel."""

    __module__ = "pyspark.sql.connect.session"
    version = "4.2.0"

    def __init__(self) -> None:
        self.client = self
        self.host, self.token, self.policies = "localhost", None, ["PySpark's"]
        self.tags = threading.local()
        self.cancelled: list[str] = []

    def get_retry_policies(self) -> list[Any]:
        return list(self.policies)

    def set_retry_policies(self, policies: list[Any]) -> None:
        self.policies = policies

    def addTag(self, tag: str) -> None:  # noqa: N802 - PySpark's name
        self.tags.__dict__.setdefault("own", {"of the user"}).add(tag)

    def removeTag(self, tag: str) -> None:  # noqa: N802 - PySpark's name
        self.tags.own.discard(tag)

    def getTags(self) -> set[str]:  # noqa: N802 - PySpark's name
        return set(getattr(self.tags, "own", {"of the user"}))

    def interruptTag(self, tag: str) -> list[str]:  # noqa: N802 - PySpark's name
        self.cancelled.append(tag)
        return ["an operation"]


def test_the_policies_of_the_user_are_back_when_the_last_run_of_the_session_ends() -> None:
    session: Any = Answering()

    with working_on(session):
        with working_on(session):
            assert [type(policy) for policy in session.policies] == [UnreachableServer, str]
        assert len(session.policies) == 2

    assert session.policies == ["PySpark's"]
    assert session.getTags() == {"of the user"}


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupt_cancels_the_operations_of_this_run_only(interrupt: BaseException) -> None:
    session: Any = Answering()

    with pytest.raises(type(interrupt)), working_on(session):
        raise interrupt

    assert len(session.cancelled) == 1
    assert session.cancelled[0].startswith("sparkscore-")
    assert session.getTags() == {"of the user"}


def test_something_else_than_a_server_of_spark_is_named() -> None:
    class Other(Answering):
        __module__ = "pyspark.sql.connect.session"

        @property
        def version(self) -> str:  # type: ignore[override]
            raise SparkConnectGrpcException(message="404", grpc_status_code=grpc.StatusCode.UNIMPLEMENTED)

    session: Any = Other()
    with (
        pytest.raises(ScoringError, match=r"\[CONNECT_SERVER_LOST\].*got the answer UNIMPLEMENTED"),
        working_on(session),
    ):
        pytest.fail("the server did not answer")


def test_another_error_cancels_nothing() -> None:
    session: Any = Answering()

    with pytest.raises(ValueError, match="mine"), working_on(session):
        raise ValueError("mine")

    assert session.cancelled == []


def test_a_classic_session_is_left_alone() -> None:
    class Classic:
        __module__ = "pyspark.sql.session"

    session: Any = Classic()
    with working_on(session):
        assert not is_connect(session)
    cancel_operations(session)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (unavailable("ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused"), "no server at this"),
        (unavailable("errors resolving nowhere:15002: Domain name not found"), "a host name that is not known"),
        (unavailable("Socket closed"), "no connection"),
        (
            SparkConnectGrpcException(message="x", errorClass="INVALID_HANDLE.SESSION_CHANGED"),
            "does not know this session",
        ),
        (ValueError("Cannot invoke RPC on closed channel!"), "does not know this session"),
    ],
)
def test_a_lost_server_is_recognized(error: Exception, words: str) -> None:
    lost = connect_error_behind(error, "host", "run-1")

    assert isinstance(lost, ScoringError)
    assert lost.code == ErrorCode.CONNECT_SERVER_LOST
    assert words in str(lost)
    assert "sparkscore resume run-1" in lost.next_step
    assert ending_of(error) is Ending.MACHINES


@pytest.mark.parametrize(
    "error",
    [
        PythonException(message="503 UNAVAILABLE [INVALID_HANDLE.SESSION_CHANGED] says the script"),
        ValueError("UNAVAILABLE"),
        PySparkException(message="UNAUTHENTICATED"),
        None,
    ],
)
def test_what_a_script_says_is_not_taken_for_a_lost_server(error: Exception | None) -> None:
    assert connect_error_behind(error) is None


def test_a_lost_server_is_found_behind_an_error_that_blames_something_else() -> None:
    def converted() -> SparkscoreError:
        try:
            try:
                raise unavailable()
            except SparkConnectGrpcException as error:
                raise SourceError(code=ErrorCode.INPUT_UNREADABLE, what="x", next_step="Repair it.") from error
        except SourceError as error:
            return error

    assert connect_error_behind(converted()) is not None
    assert ending_of(converted()) is Ending.MACHINES


def test_a_refused_token_is_named() -> None:
    refused = SparkConnectGrpcException(message="Invalid token", grpc_status_code=grpc.StatusCode.UNAUTHENTICATED)

    found = connect_error_behind(refused, "host")

    assert isinstance(found, ConfigError)
    assert "SPARK_CONNECT_AUTHENTICATE_TOKEN" in str(found)
    assert found.code == ErrorCode.CONNECT_TOKEN


def test_the_status_is_found_in_the_text_of_pyspark_4_0() -> None:
    class OfOldClient(PySparkException):
        __module__ = "pyspark.errors.exceptions.connect"

    begin = "<_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode."

    lost = connect_error_behind(OfOldClient(message=f"{begin}UNAVAILABLE\n\tdetails = 'Connection refused'"))
    assert lost is not None
    assert lost.code == ErrorCode.CONNECT_SERVER_LOST
    assert connect_error_behind(OfOldClient(message=f"ValueError: {begin}UNAVAILABLE")) is None


def test_a_server_without_tls_is_named_with_the_host_that_works() -> None:
    found = connect_error_behind(unavailable("Tls handshake failed (TSI_PROTOCOL_FAILURE)"), "127.0.0.1")

    assert found is not None
    assert found.code == ErrorCode.CONNECT_URL
    assert "sc://localhost" in found.next_step


class Failure(grpc.RpcError):  # type: ignore[misc]  # gRPC has no types
    def __init__(self, code: grpc.StatusCode, text: str = "Connection refused") -> None:
        super().__init__(text)
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def trailing_metadata(self) -> tuple[Any, ...]:
        return ()

    def details(self) -> str:
        return str(self)


def attempt_after(request: RetryPolicyState, failure: Failure) -> int | None:
    """Ask for the next attempt as PySpark does."""
    assert request.can_retry(failure)
    return request.next_attempt(failure)


def test_only_requests_that_do_not_reach_the_server_are_given_up_early() -> None:
    policy = UnreachableServer(5)

    assert policy.can_retry(Failure(grpc.StatusCode.UNAVAILABLE))
    for code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED):
        assert not policy.can_retry(Failure(code))
    assert not policy.can_retry(KeyboardInterrupt())


def test_a_request_is_given_up_when_the_patience_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    policy, failure = UnreachableServer(20), Failure(grpc.StatusCode.UNAVAILABLE)
    request = policy.to_state()
    waits: list[int] = []

    def fail_until_it_is_given_up() -> None:
        while True:
            waits.append(attempt_after(request, failure) or 0)
            now[0] += waits[-1] / 1000 + 0.1

    with pytest.raises(Failure):
        fail_until_it_is_given_up()

    assert 20 <= now[0] - 100 <= 23
    assert max(waits) <= 2000
    assert policy.is_lost
    with pytest.raises(Failure):
        attempt_after(policy.to_state(), failure)


def test_a_server_without_tls_is_not_tried_again() -> None:
    policy = UnreachableServer(20)

    with pytest.raises(Failure):
        attempt_after(policy.to_state(), Failure(grpc.StatusCode.UNAVAILABLE, "Tls handshake failed"))
