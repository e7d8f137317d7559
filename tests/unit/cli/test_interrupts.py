from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

import pytest

from sparkscore.cli import interrupts as module
from sparkscore.cli.interrupts import InterruptedRunError, interruptible, stop_session


class Session:
    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.stopped_in: threading.Thread | None = None

    def interruptAll(self) -> None:  # noqa: N802 - Spark's name
        self.cancelled.set()

    def stop(self) -> None:
        self.stopped_in = threading.current_thread()
        raise OSError("the JVM is gone")


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)  # until the handler has run


@pytest.mark.parametrize(
    ("number", "exit_code", "word"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_signal_ends_the_body_with_its_own_exit_code(number: int, exit_code: int, word: str) -> None:
    with pytest.raises(InterruptedRunError, match=word) as caught, interruptible():
        send(number)

    assert caught.value.exit_code == caught.value.code == exit_code


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before[1]

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def send_twice(ended: list[str]) -> None:
    try:
        send(signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        ended.append("record written")


def test_a_second_signal_does_not_cut_the_end_short() -> None:
    ended: list[str] = []

    with pytest.raises(InterruptedRunError), interruptible():
        send_twice(ended)

    assert ended == ["record written"]


def test_an_impatient_user_can_end_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(module, "_PATIENCE_S", -1.0)
    monkeypatch.setattr(os, "_exit", codes.append)

    with pytest.raises(InterruptedRunError), interruptible():
        send_twice([])

    assert codes == [130]


def test_a_signal_cancels_the_jobs_although_spark_took_the_handler() -> None:
    session: Any = Session()

    def use_spark() -> None:
        with interruptible() as interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # as SparkContext puts its own there
            interrupts.watch(session)
            send(signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        use_spark()

    assert session.cancelled.wait(5)


def send_to_spark(interrupts: module.Interrupts) -> None:
    with interrupts.instead_of_sparks():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as SparkContext puts its own there
        try:
            send(signal.SIGINT)
        except KeyboardInterrupt:
            logging.exception("KeyboardInterrupt while sending command.")  # noqa: LOG015 - as py4j does
            raise


def test_ctrl_c_has_the_same_end_while_spark_has_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InterruptedRunError, match="Ctrl-C") as caught, interruptible() as interrupts:
        send_to_spark(interrupts)

    assert caught.value.exit_code == 130
    assert interrupts.behind(ValueError("the session is gone")) is caught.value
    assert not caplog.records


def test_a_signal_does_not_cancel_all_operations_of_a_spark_connect_session() -> None:
    class OfConnect(Session):
        __module__ = "pyspark.sql.connect.session"

    session: Any = OfConnect()

    def use_spark() -> None:
        with interruptible() as interrupts:
            interrupts.watch(session)
            send(signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        use_spark()

    assert not session.cancelled.wait(0.2)


def test_stopping_spark_never_fails_and_uses_a_connection_of_its_own() -> None:
    session: Any = Session()

    stop_session(session)

    assert session.stopped_in not in (None, threading.main_thread())


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def body() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()

    assert seen == [before]
